import type { GraphBuilder } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import type { FusedGroups } from './fused-group.ts';

/**
 * y = x·s with s = σ(x) (SiLU; Elfwing et al. 2017, arXiv:1702.03118): dx = dy·s·(1 + x − x·s), with s made again: of the
 * forward pass only x is kept, and the runtime may compute y as one operator.
 */
export function siluGroups(op: GraphBuilder, nodes: readonly Node[]): FusedGroups {
  const sigmoidOf = new Map<string, string>();
  const groups: FusedGroups = new Map();
  for (const node of nodes) {
    if (node.domain !== '') continue;
    if (node.opType === 'Sigmoid') sigmoidOf.set(node.outputs[0]!, node.inputs[0]!);
    if (node.opType !== 'Mul') continue;
    const [a, b] = node.inputs as [string, string];
    const gate = sigmoidOf.get(b) === a ? b : sigmoidOf.get(a) === b ? a : null;
    if (gate === null) continue;
    const x = op.value(gate === a ? b : a);
    groups.set(node, (g, dy) => {
      const s = g.sigmoid(x);
      return [[x, g.mul(dy, g.mul(s, g.addScalar(g.sub(x, g.mul(x, s)), 1)))]];
    });
  }
  return groups;
}
