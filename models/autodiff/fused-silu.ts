import type { GraphBuilder } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import type { FusedGroups } from './fused-group.ts';

/**
 * y = x·s with s = σ(x) (SiLU; Elfwing et al. 2017, arXiv:1702.03118): dx = dy·(s + s·(x − y)). Four elementwise passes;
 * the rules of Mul and Sigmoid and the sum of their gradients take six.
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
    const s = op.value(gate);
    const y = op.value(node.outputs[0]!);
    groups.set(node, (g, dy) => [[x, g.mul(dy, g.add2(s, g.mul(s, g.sub(x, y))))]]);
  }
  return groups;
}
