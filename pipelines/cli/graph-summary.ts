import type { Dim, Model } from '#models/onnx/ir.ts';
import type { OpDefinition } from '#models/ops/define.ts';

export interface GraphSummary {
  readonly irVersion: number;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly parameters: number;
  readonly inputs: readonly { name: string; dtype: string; dims: readonly Dim[] }[];
  readonly outputs: readonly { name: string; dtype: string; dims: readonly Dim[] }[];
  readonly operators: readonly { opType: string; count: number; gradient: 'rule' | 'none' | 'missing' }[];
  /** Operators that have no gradient rule at all: a gradient through them is refused. */
  readonly missing: readonly string[];
}

/** Counts what a graph holds. `definition` finds an operator's rules; domain '' is the standard one. */
export function summariseGraph(
  model: Model,
  definition: (domain: string, opType: string) => OpDefinition | undefined,
): GraphSummary {
  const { graph } = model;
  const counts = new Map<string, number>();
  const gradients = new Map<string, 'rule' | 'none' | 'missing'>();
  for (const node of graph.nodes) {
    const name = node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}:${node.opType}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const grad = definition(node.domain === 'ai.onnx' ? '' : node.domain, node.opType)?.grad;
    gradients.set(name, grad === undefined ? 'missing' : grad === 'none' ? 'none' : 'rule');
  }
  const operators = [...counts]
    .map(([opType, count]) => ({ opType, count, gradient: gradients.get(opType)! }))
    .sort((a, b) => b.count - a.count || (a.opType < b.opType ? -1 : 1));
  const plain = (values: Model['graph']['inputs']) =>
    values.map(({ name, dtype, dims }) => ({ name, dtype, dims: dims ?? [] }));
  let parameters = 0;
  for (const initializer of graph.initializers.values()) parameters += initializer.dims.reduce((a, b) => a * b, 1);
  return {
    irVersion: model.irVersion,
    opsets: Object.fromEntries([...model.opsets].map(([domain, v]) => [domain === '' ? 'ai.onnx' : domain, v])),
    nodes: graph.nodes.length,
    parameters,
    inputs: plain(graph.inputs.filter((input) => !graph.initializers.has(input.name))),
    outputs: plain(graph.outputs),
    operators,
    missing: operators.filter((op) => op.gradient === 'missing').map((op) => op.opType),
  };
}
