import type { TypedShape } from '#models/onnx/builder.ts';
import type { Model, Node } from '#models/onnx/ir.ts';
import { readsOf, subgraphs } from '#models/onnx/traverse.ts';
import { BYTES_PER_ELEMENT, numel } from '#models/tensor/tensor.ts';
import type { DifferentiatedModel } from './checkpoint.ts';

/** Same memory under another shape: free. */
const VIEWS = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);
/** One pass over their operands. */
const PASSES = new Set(
  'Add Sub Mul Div Neg Abs Relu LeakyRelu Clip Sigmoid Tanh Gelu Exp Sqrt Reciprocal Transpose Concat'.split(' '),
);
/** A value is made again when that writes at most so many times its bytes. */
const MOST = 3;
/** Smaller values are kept: the room of a node is worth more. */
const LEAST_BYTES = 2 ** 16;

/**
 * Values of the forward pass that are a pass or two away from others that the backward pass reads too are made again where
 * it reads them, and not kept: scaled normalisations, activations, gate products, transposes (Chen et al. 2016,
 * arXiv:1604.06174, sec. 3, for cheap operators). What the gradient rules make again themselves is then shared with it.
 *
 * The nodes come after the forward pass and before all others in the file: the runtime takes the input of a node that
 * comes first in the file last, so they run right before their first reader. Sessions must be opened for training (common
 * subexpressions stay apart). Names of inputs and outputs do not change, and neither do their values.
 */
export function recomputeCheap({ model, forward, types }: DifferentiatedModel): Model {
  const { graph } = model;
  const bytes = (name: string) => sizeOf(types.get(name));
  const forwardNodes = graph.nodes.filter((n) => forward.has(n));
  const backwardNodes = graph.nodes.filter((n) => !forward.has(n));
  const read = new Set(backwardNodes.flatMap(readsOf));
  // Kept in any case: what leaves the graph, and what a loop body reads from around it.
  const outputs = new Set(graph.outputs.map((o) => o.name));
  const leaving = graph.nodes.filter((n) => n.opType === 'Identity' && outputs.has(n.outputs[0]!));
  const kept = new Set([...outputs, ...leaving.flatMap((n) => n.inputs), ...backwardNodes.flatMap(capturedBy)]);
  const given = new Set([...graph.inputs.map((i) => i.name), ...graph.initializers.keys()]);

  const producer = new Map<string, Node>();
  /** Bytes written to have the value again, from what is in memory anyway; absent: it cannot be had. */
  const cost = new Map<string, number>();
  const again = new Set<string>();
  for (const node of forwardNodes) {
    const [y] = node.outputs as [string];
    for (const o of node.outputs) if (read.has(o)) cost.set(o, 0);
    if (node.domain !== '' || node.outputs.length !== 1 || subgraphs(node).length > 0) continue;
    const view = VIEWS.has(node.opType);
    if (!view && !PASSES.has(node.opType)) continue;
    let sum = view ? 0 : bytes(y);
    for (const x of node.inputs) if (x !== '' && !given.has(x)) sum += cost.get(x) ?? Number.POSITIVE_INFINITY;
    if (sum > MOST * bytes(y)) continue;
    producer.set(y, node);
    if (!read.has(y)) cost.set(y, sum);
    else if (!kept.has(y) && bytes(y) >= LEAST_BYTES) again.add(y);
  }

  const made = copies(forwardNodes, producer, read, again);
  const sameAs = new Map(made.nodes.map((n) => [keyOf(n), n.outputs[0]!]));
  const rename = made.rename;
  const rest: Node[] = [];
  for (const node of backwardNodes) {
    const renamed = { ...node, inputs: node.inputs.map((n) => rename.get(n) ?? n) };
    const same = node.outputs.length === 1 && subgraphs(node).length === 0 ? sameAs.get(keyOf(renamed)) : undefined;
    if (same === undefined || kept.has(node.outputs[0]!)) rest.push(renamed);
    else rename.set(node.outputs[0]!, same);
  }
  return { ...model, graph: { ...graph, nodes: [...forwardNodes, ...made.nodes, ...rest] } };
}

/** Copies of the nodes that make the values of `again` from those that are kept, and the names of what they make. */
function copies(
  forwardNodes: readonly Node[],
  producer: ReadonlyMap<string, Node>,
  read: ReadonlySet<string>,
  again: ReadonlySet<string>,
): { readonly nodes: Node[]; readonly rename: Map<string, string> } {
  const wanted = new Set<string>();
  const open = [...again];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = producer.get(name);
    if (!node || wanted.has(name) || (read.has(name) && !again.has(name))) continue;
    wanted.add(name);
    open.push(...node.inputs);
  }
  const rename = new Map([...wanted].map((name) => [name, `again/${name}`]));
  const to = (name: string) => rename.get(name) ?? name;
  const nodes = forwardNodes
    .filter((n) => wanted.has(n.outputs[0]!))
    .map((n) => ({ ...n, name: `again/${n.name}`, inputs: n.inputs.map(to), outputs: n.outputs.map(to) }));
  return { nodes, rename };
}

const sizeOf = (t: TypedShape | undefined): number => (t ? numel(t.dims) * BYTES_PER_ELEMENT[t.dtype] : 0);

const capturedBy = (node: Node): string[] =>
  subgraphs(node).length === 0 ? [] : readsOf(node).filter((name) => !node.inputs.includes(name));

/** The same for nodes that compute the same. */
function keyOf({ opType, domain, inputs, attributes }: Node): string {
  const told = [...attributes].map(([name, a]) => [name, String(a.value)]).sort();
  return JSON.stringify([domain, opType, inputs, told]);
}
