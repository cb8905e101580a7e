import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { fromNumbers, numel } from '#models/tensor/tensor.ts';
import { defineOp } from './define.ts';

interface Equation {
  /** One letter per axis; the axes an ellipsis stands for have letters of their own. */
  readonly terms: readonly string[];
  readonly result: string;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** Spells an equation out: an ellipsis becomes letters, an implied result is written down. */
function parseEquation(equation: string, ranks: readonly number[], where: string): Equation {
  const wrong = (why: string): never => {
    throw new NorthlightError('onnx/einsum', `Einsum equation "${equation}" of "${where}" ${why}.`);
  };
  const compact = equation.replaceAll(' ', '');
  const [left = '', right] = compact.split('->');
  const raw = left.split(',');
  if (raw.length !== ranks.length) wrong(`names ${raw.length} operands for ${ranks.length}`);
  const hidden = raw.map((t, i) => (t.includes('...') ? ranks[i]! - (t.length - 3) : 0));
  const free = [...ALPHABET].filter((c) => !compact.includes(c));
  const most = Math.max(0, ...hidden);
  if (hidden.some((h) => h < 0) || free.length < most) wrong('has more letters than axes');
  const dots = free.slice(0, most).join('');
  // Ellipses line up at their last axes, as broadcasting does.
  const terms = raw.map((t, i) => t.replace('...', hidden[i] ? dots.slice(-hidden[i]) : ''));
  terms.forEach((t, i) => {
    if (t.length !== ranks[i]) wrong(`gives operand ${i} ${t.length} axes, but it has ${ranks[i]}`);
  });
  if (right !== undefined) return { terms, result: right.replace('...', dots) };
  const letters = raw.join('').replaceAll('.', '');
  const once = [...ALPHABET].filter((c) => letters.split(c).length === 2).join('');
  return { terms, result: dots + once };
}

const unique = (letters: string) => [...new Set(letters)].join('');

/** Gradient of each operand: the Einsum of dy with the other operands, into that operand's axes. */
export const einsum = defineOp({
  opType: 'Einsum',
  sinceVersion: 12,
  infer: ({ x, inputs, attrs, node }) => {
    const ranks = inputs.map((v) => v!.dims.length);
    const { terms, result } = parseEquation(attrs.str('equation'), ranks, node.name);
    const size = new Map<string, number>();
    terms.forEach((t, i) => {
      [...t].forEach((c, j) => {
        size.set(c, Math.max(size.get(c) ?? 1, x(i).dims[j]!));
      });
    });
    return [{ dtype: x(0).dtype, dims: [...result].map((c) => size.get(c)!) }];
  },
  grad: ({ op, inputs, attrs, dy, node, needs }) => {
    const operands = inputs.map((v) => v!);
    const ranks = operands.map((v) => v.dims.length);
    const { terms, result } = parseEquation(attrs.str('equation'), ranks, node.name);
    return operands.map((operand, i) => {
      if (!needs(i)) return null;
      const mine = unique(terms[i]!);
      const others = terms.filter((_, j) => j !== i);
      const available = new Set([...result, ...others.join('')]);
      const present = [...mine].filter((c) => available.has(c)).join('');
      const g = op.apply('Einsum', [dy, ...operands.filter((_, j) => j !== i)], {
        equation: { kind: 'string', value: `${[result, ...others].join(',')}->${present}` },
      });
      return spread(op, g, terms[i]!, present, operand.dims);
    });
  },
});

/**
 * The gradient in an operand's own axes. An axis summed away inside it gets the same gradient along its whole length; of
 * axes with one letter only the diagonal was read. A broadcast axis keeps its full length here: the engine sums over it.
 */
function spread(op: GraphBuilder, g: Value, wanted: string, present: string, dims: readonly number[]): Value {
  if (wanted === present) return g;
  const repeated = [...wanted].map((c, i) => wanted.indexOf(c) < i);
  const full = [...wanted].map((c, i) =>
    present.includes(c) ? Math.max(dims[i]!, g.dims[present.indexOf(c)]!) : dims[i]!,
  );
  const placed = op.reshape(
    g,
    [...wanted].map((c, i) => (present.includes(c) && !repeated[i] ? full[i]! : 1)),
  );
  const whole = op.expand(placed, full);
  if (!repeated.includes(true)) return whole;
  // One where all axes of a letter agree, over those axes alone.
  const own = full.map((d, i) => (wanted.split(wanted[i]!).length > 2 ? d : 1));
  const steps = own.map((_, i) => numel(own.slice(i + 1)));
  const diagonal = Array.from({ length: numel(own) }, (_, flat) => {
    const at = own.map((d, i) => Math.floor(flat / steps[i]!) % d);
    return Number([...wanted].every((c, i) => at[i] === at[wanted.indexOf(c)]));
  });
  return op.mul(whole, op.constant(fromNumbers(g.dtype, own, diagonal)));
}
