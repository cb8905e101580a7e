import type { GraphBuilder, Value } from '#models/onnx/builder.ts';

/**
 * The value with its axes in another order; what was turned the other way just before is taken as it was. Chains of
 * channels-last operators so become channels-first ones without a Transpose between them, and kernels stay initialisers.
 */
export function turn(op: GraphBuilder, v: Value, perm: readonly number[]): Value {
  const made = op.nodes.findLast((n) => n.outputs.includes(v.name));
  const before = made?.opType === 'Transpose' && made.domain === '' ? made.attributes.get('perm')?.value : undefined;
  if (Array.isArray(before) && perm.every((p, i) => before[p] === i)) return op.value(made!.inputs[0]!);
  return op.transpose(v, perm);
}
