import type { GraphBuilder } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import type { FusedGroups } from './fused-group.ts';

/**
 * y = v·a with a = GELU(x) (GEGLU; Shazeer 2020, arXiv:2002.05202): dv = dy·a with a made again, so that the widest value
 * of a transformer is not kept for the backward pass; da = dy·v goes on through the rule of GELU.
 */
export function geluGateGroups(op: GraphBuilder, nodes: readonly Node[]): FusedGroups {
  const gelus = new Map<string, Node>();
  const groups: FusedGroups = new Map();
  for (const node of nodes) {
    if (node.domain !== '') continue;
    if (node.opType === 'Gelu') gelus.set(node.outputs[0]!, node);
    if (node.opType !== 'Mul') continue;
    const [first, second] = node.inputs as [string, string];
    const gate = gelus.get(second) ?? gelus.get(first);
    if (!gate) continue;
    const a = op.value(gate.outputs[0]!);
    const v = op.value(a.name === second ? first : second);
    if (v.name === a.name) continue;
    const x = op.value(gate.inputs[0]!);
    const approximate = gate.attributes.get('approximate');
    groups.set(node, (g, dy) => [
      [v, g.mul(dy, g.apply('Gelu', [x], approximate ? { approximate } : {}))],
      [a, g.mul(dy, v)],
    ]);
  }
  return groups;
}
