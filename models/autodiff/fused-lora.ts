import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { float, type Node } from '#models/onnx/ir.ts';
import { numel, toNumbers } from '#models/tensor/tensor.ts';
import type { FusedGroups } from './fused-group.ts';

/** y = x·W + s·(x·Aᵀ)·Bᵀ. a `[r, in]`, b `[out, r]`, weight `[in, out]`, x `[…, in]`. */
interface Adapted {
  readonly node: Node;
  readonly x: Value;
  readonly weight: Value;
  readonly a: Value;
  readonly b: Value;
  readonly scale: number;
}

/** W + s·(B·A)ᵀ, as one product that starts from W. */
const mergedWeight = (op: GraphBuilder, { a, b, weight, scale }: Omit<Adapted, 'node' | 'x'>): Value =>
  op.apply('Gemm', [a, b, weight], { transA: 1, transB: 1, alpha: float(scale) }, 'merged');

/**
 * Linear layers with an adapter beside them, written as one product with the merged weight: x·(W + s·(B·A)ᵀ). Four passes
 * over activations become none, for one pass over the weight; done where the weight is smaller than the activations.
 */
export function mergeAdapters(op: GraphBuilder): void {
  for (const adapted of findAdapted(op, op.nodes)) {
    const { node, x } = adapted;
    const start = op.nodes.length;
    const weight = op.scope(node.name, () => mergedWeight(op, adapted));
    op.nodes.push({ ...node, opType: 'MatMul', inputs: [x.name, weight.name], attributes: new Map() });
    const made = op.nodes.splice(start);
    op.nodes.splice(op.nodes.indexOf(node), 1, ...made);
  }
}

/**
 * Gradients of the layers that {@link mergeAdapters} made. dx = dy·(W + s·(B·A)ᵀ)ᵀ, with the weight merged again rather than
 * kept; dA = s·(dy·B)ᵀ·x and dB = s·((x·Aᵀ)ᵀ·dy)ᵀ through rank-r products, short sides on the left.
 */
export function mergedAdapterGroups(
  op: GraphBuilder,
  nodes: readonly Node[],
  active: ReadonlySet<string>,
): FusedGroups {
  const producer = new Map(nodes.map((n) => [n.outputs[0]!, n]));
  const groups: FusedGroups = new Map();
  for (const node of nodes) {
    if (node.opType !== 'MatMul' || node.domain !== '') continue;
    const merged = producer.get(node.inputs[1]!);
    if (merged?.opType !== 'Gemm' || merged.inputs.length !== 3 || !isFrozen(op, merged.inputs[2]!)) continue;
    if (merged.attributes.get('transA')?.value !== 1 || merged.attributes.get('transB')?.value !== 1) continue;
    const [a, b, weight] = merged.inputs.map((n) => op.value(n)) as [Value, Value, Value];
    const x = op.value(node.inputs[0]!);
    const scale = (merged.attributes.get('alpha')?.value as number | undefined) ?? 1;
    const [columns, out] = weight.dims as [number, number];
    const rows = numel(x.dims) / columns;
    groups.set(node, (g, dy) => {
      const alpha = float(scale);
      const dy2 = g.reshape(dy, [rows, out]);
      const x2 = g.reshape(x, [rows, columns]);
      const grads: [Value, Value][] = [];
      if (active.has(x.name)) {
        const again = mergedWeight(g, { a, b, weight, scale });
        grads.push([x, g.reshape(g.gemm(dy2, again, null, { transB: true }), x.dims)]);
      }
      if (active.has(a.name)) {
        const u = g.apply('Gemm', [dy2, b], { alpha }); // [rows, r]
        grads.push([a, g.gemm(u, x2, null, { transA: true })]);
      }
      if (active.has(b.name)) {
        const down = g.apply('Gemm', [x2, a], { transB: 1, alpha }); // [rows, r]
        grads.push([b, g.transpose(g.gemm(down, dy2, null, { transA: true }), [1, 0])]);
      }
      return grads;
    });
  }
  return groups;
}

const isFrozen = (op: GraphBuilder, name: string) => op.initializers.has(name) && !op.opaque.has(name);

/** Add(x·W, Mul(x·Transpose(a), s)·Transpose(b)) whose parts serve nothing else, and whose weight is small enough. */
function findAdapted(op: GraphBuilder, nodes: readonly Node[]): Adapted[] {
  const producer = new Map(nodes.map((n) => [n.outputs[0]!, n]));
  const uses = new Map<string, number>();
  for (const node of nodes) for (const name of node.inputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  for (const { name } of op.outputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const made = (name: string, opType: string) => {
    const node = producer.get(name);
    return node?.domain === '' && node.opType === opType ? node : null;
  };
  const only = (name: string, opType: string) => (uses.get(name) === 1 ? made(name, opType) : null);
  const transposed = (name: string) => {
    const node = made(name, 'Transpose');
    return node && op.value(name).dims.length === 2 ? op.value(node.inputs[0]!) : null;
  };
  return nodes.flatMap((node) => {
    if (node.opType !== 'Add' || node.domain !== '') return [];
    for (const [i, j] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const base = only(node.inputs[i]!, 'MatMul');
      const up = only(node.inputs[j]!, 'MatMul');
      const scaled = up && only(up.inputs[0]!, 'Mul');
      const down = scaled && only(scaled.inputs[0]!, 'MatMul');
      const factor = scaled && op.constantOf(scaled.inputs[1]!);
      if (!base || !down || factor?.data.length !== 1 || base.inputs[0] !== down.inputs[0]) continue;
      const [a, b] = [transposed(down.inputs[1]!), transposed(up.inputs[1]!)];
      const weight = op.value(base.inputs[1]!);
      const x = op.value(base.inputs[0]!);
      if (!a || !b || weight.dims.length !== 2 || !isFrozen(op, weight.name)) continue;
      const [columns, out] = weight.dims as [number, number];
      const rows = numel(x.dims) / columns;
      if (rows * (columns + out) < 2 * columns * out) continue;
      return [{ node, x, weight, a, b, scale: toNumbers(factor)[0]! }];
    }
    return [];
  });
}
