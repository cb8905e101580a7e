import type { GraphBuilder } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { dimsEqual } from '#models/tensor/tensor.ts';
import type { FusedGroups } from './fused-group.ts';

/**
 * O = P·V with P = softmax(S) over keys. The row sums that the softmax gradient subtracts are sums over the d columns of O
 * instead of the keys: D = Σ dP ⊙ P = Σ dO ⊙ O (Dao et al. 2022, arXiv:2205.14135, app. B.2), and the subtraction rides in
 * the product that makes dP: dS = P ⊙ ([dO, D]·[V, −1]ᵀ). One pass over the matrix of probabilities instead of four.
 */
export function attentionGroups(op: GraphBuilder, nodes: readonly Node[], active: ReadonlySet<string>): FusedGroups {
  const uses = new Map<string, number>();
  for (const node of nodes) for (const name of node.inputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const softmaxes = new Map<string, Node>();
  const groups: FusedGroups = new Map();
  for (const node of nodes) {
    if (node.domain !== '') continue;
    if (node.opType === 'Softmax') softmaxes.set(node.outputs[0]!, node);
    if (node.opType !== 'MatMul') continue;
    const softmax = softmaxes.get(node.inputs[0]!);
    if (!softmax || uses.get(node.inputs[0]!) !== 1 || !active.has(softmax.inputs[0]!)) continue;
    const s = op.value(softmax.inputs[0]!); // [..., L, K]
    const p = op.value(node.inputs[0]!);
    const v = op.value(node.inputs[1]!); // [..., K, d]
    const o = op.value(node.outputs[0]!); // [..., L, d]
    const axis = softmax.attributes.get('axis')?.value ?? -1;
    if (axis !== -1 && axis !== p.dims.length - 1) continue;
    if (v.dims.length < 3 || !dimsEqual(p.dims.slice(0, -2), v.dims.slice(0, -2))) continue;
    const last = p.dims.length - 1;
    groups.set(node, (g, dy) => {
      const rows = g.reduceSum(g.mul(dy, o), [last]); // [..., L, 1]
      const column = g.expand(g.scalar(-1, v.dtype), [...v.dims.slice(0, -1), 1]);
      const shifted = g.matmul(g.concat([dy, rows], last), g.transposeLast(g.concat([v, column], last)));
      const ds = g.mul(p, shifted);
      return active.has(v.name)
        ? [
            [s, ds],
            [v, g.matmul(g.transposeLast(p), dy)],
          ]
        : [[s, ds]];
    });
  }
  return groups;
}
