import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import { int, type Node } from '#models/onnx/ir.ts';
import { NodeAttributes, normalizeAxis } from '#models/ops/define.ts';
import { i64, toNumbers } from '#models/tensor/tensor.ts';
import { type Bound, type Inliner, inputsOf, isSequence, type Scope, tensorOf } from './import-scope.ts';
import { stack, unstack } from './inline-loop.ts';

type Rule = (to: Inliner, scope: Scope, node: Node, inputs: readonly (Bound | null)[]) => Bound;

/** Lists of tensors exist only while importing: each operator on them is carried out at once. */
const RULES: Readonly<Record<string, Rule>> = {
  SequenceEmpty: () => ({ sequence: [] }),
  SequenceConstruct: (_to, _scope, node, inputs) => ({ sequence: inputs.map((b) => tensorOf(b!, label(node))) }),
  SequenceLength: (to, _scope, node, [s]) => to.op.constant(i64([], [list(s, node).length])),
  SequenceAt: (to, _scope, node, [s, at]) => list(s, node)[position(to, node, at, list(s, node).length)]!,
  SequenceErase: (to, _scope, node, [s, at]) => {
    const items = list(s, node);
    const i = at ? position(to, node, at, items.length) : items.length - 1;
    return { sequence: items.filter((_, k) => k !== i) };
  },
  SequenceInsert: (to, _scope, node, [s, v, at]) => {
    const items = list(s, node);
    const i = at ? position(to, node, at, items.length, true) : items.length;
    return { sequence: items.toSpliced(i, 0, tensorOf(v!, label(node))) };
  },
  SplitToSequence: (to, scope, node, [v, split]) => {
    const attrs = new NodeAttributes(node);
    const x = tensorOf(v!, label(node));
    const axis = normalizeAxis(attrs.int('axis', 0), x.dims.length);
    const n = x.dims[axis]!;
    const name = `${scope.prefix}${node.name || node.opType}`;
    if (!split && attrs.int('keepdims', 1) === 0) return { sequence: unstack(to, x, axis, scope, node) };
    const asked = split ? knownNumbers(to, node, split) : { values: [1], scalar: true };
    const step = asked.values[0]!;
    if (asked.scalar && !(step > 0))
      throw new NorthlightError('onnx/shape', `${label(node)} cuts into parts of ${step}.`);
    const sizes = asked.scalar
      ? Array.from({ length: Math.ceil(n / step) }, (_, i) => Math.min(step, n - i * step))
      : asked.values;
    if (sizes.length === 1) return { sequence: [x] };
    return { sequence: to.apply('Split', [x, to.op.i64(sizes)], { axis: int(axis) }, sizes.length, name) };
  },
  ConcatFromSequence: (to, scope, node, [s]) => {
    const attrs = new NodeAttributes(node);
    const items = list(s, node);
    const first = items[0];
    if (!first)
      throw new NorthlightError('onnx/shape', `${label(node)} joins an empty list.`, 'Export the model again.');
    const isNew = attrs.int('new_axis', 0) === 1;
    const axis = normalizeAxis(attrs.int('axis'), first.dims.length + (isNew ? 1 : 0));
    if (isNew) return stack(to, items, axis, scope, node, first);
    if (items.length === 1) return first;
    return to.apply('Concat', items, { axis: int(axis) }, 1, `${scope.prefix}${node.name || node.opType}`)[0]!;
  },
};

/**
 * Operators that make, take apart and join lists of tensors, when positions are known; null for every other operator.
 * @throws {NorthlightError} `graph/run-time-position`, `graph/optional` for values that may be absent.
 */
export function inlineSequence(to: Inliner, scope: Scope, node: Node): Bound[] | null {
  if (node.domain !== '') return null;
  if (node.opType.startsWith('Optional')) {
    throw new NorthlightError(
      'graph/optional',
      `${label(node)} handles a value that may be absent, which cannot be differentiated.`,
      'Export the model without optional values.',
    );
  }
  const rule = Object.hasOwn(RULES, node.opType) ? RULES[node.opType] : undefined;
  return rule ? [rule(to, scope, node, inputsOf(scope, node))] : null;
}

const label = (node: Node) => `${node.opType} "${node.name}"`;

function list(bound: Bound | null | undefined, node: Node): readonly Value[] {
  if (bound && isSequence(bound)) return bound.sequence;
  throw new NorthlightError('onnx/shape', `${label(node)} takes a list of tensors, but is given none.`);
}

function knownNumbers(to: Inliner, node: Node, bound: Bound): { values: number[]; scalar: boolean } {
  const v = tensorOf(bound, label(node));
  const t = to.op.constantOf(v.name);
  if (t) return { values: toNumbers(t), scalar: t.dims.length === 0 };
  throw new NorthlightError(
    'graph/run-time-position',
    `${label(node)} takes a position in a list from "${v.name}", which is only known at run time.`,
    'Export the model with fixed positions.',
  );
}

function position(to: Inliner, node: Node, bound: Bound | null | undefined, length: number, end = false): number {
  const { values } = knownNumbers(to, node, bound!);
  const asked = values[0] ?? Number.NaN;
  const i = asked < 0 ? asked + length : asked;
  if (i >= 0 && i < length + (end ? 1 : 0)) return i;
  throw new NorthlightError('onnx/shape', `${label(node)} asks for position ${asked} of a list of ${length}.`);
}
