import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, normalizeAxis, pickNumbers } from './define.ts';
import { knownInts } from './shape.ts';

function fullPads(rank: number, given: readonly number[], axes: readonly number[] | null): number[] {
  if (!axes) return [...given];
  const pads = new Array<number>(2 * rank).fill(0);
  axes.forEach((axis, i) => {
    const a = normalizeAxis(axis, rank);
    pads[a] = given[i]!;
    pads[rank + a] = given[axes.length + i]!;
  });
  return pads;
}

const padsOf = (c: InferContext) => fullPads(c.x(0).dims.length, knownInts(c, 1), c.inputs[3] ? knownInts(c, 3) : null);

/**
 * Which element along an axis of `n` each of the padded axis's elements is, or NaN for the constant. What negative padding
 * cuts away is cut before anything is repeated, as the runtime does.
 */
function sources(mode: string, n: number, before: number, after: number): number[] {
  const first = Math.max(0, -before);
  const kept = n - first - Math.max(0, -after);
  const pick = (i: number): number => {
    if (i >= 0 && i < kept) return first + i;
    switch (mode) {
      case 'edge':
        return first + Math.min(Math.max(i, 0), kept - 1);
      case 'wrap':
        return first + (((i % kept) + kept) % kept);
      case 'reflect': {
        if (kept === 1) return first;
        const period = 2 * (kept - 1);
        const at = ((i % period) + period) % period;
        return first + (at < kept ? at : period - at);
      }
      default:
        return Number.NaN;
    }
  };
  const start = -Math.max(0, before);
  return Array.from({ length: kept + Math.max(0, before) + Math.max(0, after) }, (_, i) => pick(start + i));
}

/** Adjoint of taking `source[i]` at place i: each stretch of dy that runs up, down or on the spot is added where it came from. */
function giveBack(op: GraphBuilder, dy: Value, axis: number, source: readonly number[], n: number): Value {
  const parts: Value[] = [];
  for (let from = 0; from < source.length; ) {
    const step = from + 1 < source.length ? source[from + 1]! - source[from]! : 1;
    let to = from + 1;
    if (Math.abs(step) <= 1) while (to < source.length && source[to]! - source[to - 1]! === step) to++;
    const run = { from, to, step: to - from > 1 ? step : 1 };
    from = to;
    if (Number.isNaN(source[run.from])) continue;
    let part = run.from === 0 && run.to === source.length ? dy : op.slice(dy, axis, run.from, run.to);
    if (run.step === 0) part = op.reduceSum(part, [axis]);
    if (run.step === -1) part = op.slice(part, axis, -1, -(2 ** 31), -1);
    const first = run.step === -1 ? source[run.to - 1]! : source[run.from]!;
    const pads = new Array<number>(2 * dy.dims.length).fill(0);
    pads[axis] = first;
    pads[dy.dims.length + axis] = n - first - part.dims[axis]!;
    parts.push(op.pad(part, pads));
  }
  if (parts.length === 0) {
    const dims = dy.dims.map((d, i) => (i === axis ? n : d));
    return op.expand(op.scalar(0, dy.dtype), dims);
  }
  return parts.length === 1 ? parts[0]! : op.apply('Sum', parts);
}

/** ONNX `Pad`: constant, reflect, edge and wrap, axis by axis; negative padding cuts. */
export const pad = defineOp({
  opType: 'Pad',
  sinceVersion: 19,
  infer: (c) => {
    const { dims, dtype } = c.x(0);
    const pads = padsOf(c);
    const out = dims.map((d, i) => d + pads[i]! + pads[dims.length + i]!);
    if (out.some((d) => d < 0)) {
      throw new NorthlightError('onnx/shape', `Pad "${c.node.name}" cuts more than there is of [${dims.join(', ')}].`);
    }
    return [{ dtype, dims: out }];
  },
  grad: (c) => {
    const { op, x, attrs } = c;
    const mode = attrs.str('mode', 'constant');
    const pads = padsOf(c);
    const { dims } = x(0);
    let g = c.dy;
    dims.forEach((n, axis) => {
      const [before, after] = [pads[axis]!, pads[dims.length + axis]!];
      if (before !== 0 || after !== 0) g = giveBack(op, g, axis, sources(mode, n, before, after), n);
    });
    const rest: (Value | null)[] = c.inputs.slice(1).map(() => null);
    // What does not come from x is the constant.
    if (mode === 'constant' && c.inputs[2] && c.needs(2))
      rest[1] = op.reshape(op.sub(op.reduceSumAll(c.dy), op.reduceSumAll(g)), x(2).dims);
    return [g, ...rest];
  },
  fold: ([t, given, value, axes], attrs) => {
    const mode = attrs.str('mode', 'constant');
    const pads = fullPads(t!.dims.length, toNumbers(given!), axes ? toNumbers(axes) : null);
    const fill = value ? toNumbers(value)[0]! : 0;
    const from = t!.dims.map((n, i) => sources(mode, n, pads[i]!, pads[t!.dims.length + i]!));
    return [pickNumbers(t!, from, fill)];
  },
});

/** What each axis gains before and after, as Pad has it; an odd difference is made up at the end. */
function centred(c: InferContext): number[] {
  const { dims } = c.x(0);
  const wanted = knownInts(c, 1);
  const axes = c.attrs.has('axes') ? c.attrs.ints('axes') : dims.map((_, i) => i);
  const given = axes.map((axis, i) => {
    const n = dims[normalizeAxis(axis, dims.length)]!;
    const before = Math.trunc((wanted[i]! - n) / 2);
    return [before, wanted[i]! - n - before] as const;
  });
  return fullPads(dims.length, [...given.map(([before]) => before), ...given.map(([, after]) => after)], axes);
}

/** ONNX `CenterCropPad`: axes cut or padded with zeros around their middle. x `[…]`, shape one size per axis named. */
export const centerCropPad = defineOp({
  opType: 'CenterCropPad',
  sinceVersion: 18,
  infer: (c) => {
    const { dtype, dims } = c.x(0);
    const pads = centred(c);
    return [{ dtype, dims: dims.map((d, i) => d + pads[i]! + pads[dims.length + i]!) }];
  },
  decompose: (c) => [c.op.pad(c.x(0), centred(c))],
});
