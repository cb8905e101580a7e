import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { importGraph } from './import-graph.ts';
import type { Compute } from './precision.ts';

/**
 * A model in standard operators of the working opset: fused operators of ONNX Runtime are written out, so a file made for a
 * GPU also runs where their kernels are missing, and adapters find the layers inside. Sizes are fixed, shape plumbing is
 * folded, functions and loops are written out. Inputs, outputs and weights of two or more dimensions keep their names.
 * @param options.inputDims size of every graph input that has free sizes.
 * @param options.compute what 16-bit floats are computed in; default float32, the inputs and outputs included.
 * @throws {NorthlightError} for an input without a size, an unknown operator, or a use of one that is not supported.
 */
export function decomposeModel(
  model: Model,
  options: { readonly inputDims?: Readonly<Record<string, readonly number[]>>; readonly compute?: Compute } = {},
): Model {
  const op = createBuilder();
  // A weight is not plumbing, however small: looked at, it would be folded into a constant without its name.
  const known = op.constantOf;
  const isWeight = (name: string) => (model.graph.initializers.get(name)?.dims.length ?? 0) >= 2;
  op.constantOf = (name) => (isWeight(name) ? undefined : known(name));
  const imported = importGraph(op, model, {
    inputs: options.inputDims ?? {},
    ...(options.compute ? { compute: options.compute } : {}),
  });
  for (const [name, value] of imported.outputs) op.output(value, name);
  const result = op.toModel(model.graph.name);
  if (model.folder !== undefined) result.folder = model.folder;
  result.metadata = new Map(model.metadata);
  return result;
}
