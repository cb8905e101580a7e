import type { Value } from '#models/onnx/builder.ts';
import type { Graph, Node } from '#models/onnx/ir.ts';
import { BYTES_PER_ELEMENT, numel } from '#models/tensor/tensor.ts';

/** Values of a graph with their sizes. */
export type Sized = (name: string) => Pick<Value, 'dims' | 'dtype'> | undefined;

/**
 * Floating-point operations of one run: two per multiplication and addition in products and convolutions, one per element
 * written elsewhere. Bodies of loops are not looked into.
 */
export function flopsOf(nodes: readonly Node[], sized: Sized): number {
  let sum = 0;
  for (const node of nodes) sum += nodeFlops(node, sized);
  return sum;
}

function nodeFlops(node: Node, sized: Sized): number {
  const dims = (name: string | undefined) => (name ? sized(name)?.dims : undefined);
  const out = node.outputs.reduce((n, name) => n + (name ? numel(dims(name) ?? [0]) : 0), 0);
  const a = dims(node.inputs[0]);
  const b = dims(node.inputs[1]);
  switch (node.opType) {
    case 'Conv':
      return b ? 2 * out * numel(b.slice(1)) : out;
    case 'ConvTranspose':
      return a && b ? 2 * numel(a) * numel(b.slice(1)) : out;
    case 'MatMul':
    case 'FusedMatMul': {
      const swapped = node.attributes.get('transA')?.value === 1;
      return a ? 2 * out * (a.at(swapped ? -2 : -1) ?? 1) : out;
    }
    case 'Gemm': {
      const swapped = node.attributes.get('transA')?.value === 1;
      return a ? 2 * out * (a.at(swapped ? 0 : -1) ?? 1) : out;
    }
    case 'MultiHeadAttention':
      // Q·Kᵀ and P·V: both have batch · L · S · width products.
      return a && b ? 4 * numel(a) * (b.at(-2) ?? 1) : out;
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Identity':
    case 'Constant':
    case 'Shape':
      return 0;
    default:
      return out;
  }
}

/** Operators whose result is their input under another shape: no memory of its own. */
const VIEWS = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);

/**
 * The most bytes that intermediate values take at once when nodes run in order and a value lives from its node to its last
 * reader (graph outputs to the end). Weights and graph inputs are not counted.
 */
export function peakBytes(graph: Pick<Graph, 'nodes' | 'outputs'>, sized: Sized): number {
  const { nodes } = graph;
  // The value that a view shows stands for it.
  const root = new Map<string, string>();
  const rootOf = (name: string) => root.get(name) ?? name;
  const lastUse = new Map<string, number>();
  nodes.forEach((node, i) => {
    if (VIEWS.has(node.opType) && node.inputs[0] && node.outputs[0]) root.set(node.outputs[0], rootOf(node.inputs[0]));
    for (const name of node.inputs) if (name !== '') lastUse.set(rootOf(name), i);
  });
  for (const { name } of graph.outputs) lastUse.set(rootOf(name), nodes.length);
  const ending = new Map<number, string[]>();
  for (const [name, i] of lastUse) {
    const list = ending.get(i);
    if (list) list.push(name);
    else ending.set(i, [name]);
  }
  const bytesOf = (name: string) => {
    const value = sized(name);
    return value ? numel(value.dims) * (BYTES_PER_ELEMENT[value.dtype] ?? 0) : 0;
  };
  const live = new Map<string, number>();
  let now = 0;
  let peak = 0;
  nodes.forEach((node, i) => {
    for (const name of node.outputs) {
      if (name === '' || root.has(name) || !lastUse.has(name)) continue;
      const bytes = bytesOf(name);
      live.set(name, bytes);
      now += bytes;
    }
    peak = Math.max(peak, now);
    for (const name of ending.get(i) ?? []) {
      now -= live.get(name) ?? 0;
      live.delete(name);
    }
  });
  return peak;
}
