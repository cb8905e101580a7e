import type { Attribute, Dim, Initializer, Model } from '#models/onnx/ir.ts';
import type { DType } from '#models/tensor/tensor.ts';

/** A node as a test writes it; attributes by name. */
export interface NodeText {
  readonly op: string;
  readonly in: readonly string[];
  readonly out: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly name?: string;
  readonly domain?: string;
}

/** A model of any opset, written out by hand, as an exporter of that time would have made it. */
export function buildModel(options: {
  readonly opset: number;
  readonly inputs: Readonly<Record<string, readonly Dim[] | { dtype: DType; dims: readonly Dim[] }>>;
  readonly weights?: Readonly<Record<string, Initializer>>;
  readonly nodes: readonly NodeText[];
  readonly outputs: Readonly<Record<string, DType>>;
}): Model {
  return {
    irVersion: 8,
    producerName: 'test',
    opsets: new Map([['', options.opset]]),
    metadata: new Map(),
    graph: {
      name: 'test',
      nodes: options.nodes.map((n, i) => ({
        opType: n.op,
        domain: n.domain ?? '',
        name: n.name ?? `${n.op}_${i}`,
        inputs: [...n.in],
        outputs: [...n.out],
        attributes: new Map(Object.entries(n.attributes ?? {})),
      })),
      inputs: Object.entries(options.inputs).map(([name, given]) =>
        'dims' in given ? { name, ...given } : { name, dtype: 'float32', dims: given },
      ),
      outputs: Object.entries(options.outputs).map(([name, dtype]) => ({ name, dtype, dims: null })),
      initializers: new Map(Object.entries(options.weights ?? {})),
      valueInfo: new Map(),
    },
  };
}
