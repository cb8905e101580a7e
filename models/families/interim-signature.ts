import { statSync } from 'node:fs';
import { isExternal } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { type DType, isFloat, numel } from '#models/tensor/tensor.ts';
import type { GraphSignature } from './types.ts';

/** A graph's signature by way of reading all of it. */
export function readSignature(path: string): GraphSignature {
  const model = readModel(path);
  const { graph } = model;
  let parameters = 0;
  let precision: DType | 'none' = 'none';
  const external = new Map<string, number>();
  for (const t of graph.initializers.values()) {
    if (isFloat(t.dtype)) {
      parameters += numel(t.dims);
      precision = t.dtype;
    }
    if (isExternal(t)) external.set(t.external.location, (external.get(t.external.location) ?? 0) + t.external.length);
  }
  const port = (v: (typeof graph.inputs)[number]) => ({ name: v.name, dtype: v.dtype, dims: v.dims ?? [] });
  const operators = new Map<string, number>();
  for (const n of graph.nodes) operators.set(n.opType, (operators.get(n.opType) ?? 0) + 1);
  return {
    path,
    inputs: graph.inputs.filter((i) => !graph.initializers.has(i.name)).map(port),
    outputs: graph.outputs.map(port),
    opsets: model.opsets,
    producer: model.producerName,
    producerVersion: '',
    precision,
    parameters,
    operators,
    weightFiles: [...external].map(([location, neededBytes]) => ({ location, neededBytes, foundBytes: neededBytes })),
    sizeBytes: statSync(path).size + [...external.values()].reduce((a, b) => a + b, 0),
  };
}
