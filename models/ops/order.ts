import type { Value } from '#models/onnx/builder.ts';
import { fromNumbers, numel, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, normalizeAxis, type OpDefinition } from './define.ts';
import { knownInts } from './shape.ts';

const nulls = (c: InferContext) => c.inputs.slice(1).map(() => null);

/** The k largest (or smallest) along an axis, and where they were: the gradient goes back there. */
export const topK = defineOp({
  opType: 'TopK',
  sinceVersion: 11,
  gradOutputs: 2,
  infer: (c) => {
    const axis = normalizeAxis(c.attrs.int('axis', -1), c.x(0).dims.length);
    const k = knownInts(c, 1)[0]!;
    const dims = c.x(0).dims.map((d, i) => (i === axis ? k : d));
    return [
      { dtype: c.x(0).dtype, dims },
      { dtype: 'int64', dims },
    ];
  },
  grad: (c) => {
    const { op, x, dy, outputs, attrs } = c;
    const zeros = op.expand(op.scalar(0, dy.dtype), x(0).dims);
    return [op.apply('ScatterElements', [zeros, outputs[1]!, dy], { axis: attrs.int('axis', -1) }), ...nulls(c)];
  },
});

/** What a known tensor's running sums or products are, along the axis that the second input names. */
const running =
  (start: number, combine: (a: number, b: number) => number): NonNullable<OpDefinition['fold']> =>
  ([t, at], attrs) => {
    const { dims, dtype } = t!;
    const axis = normalizeAxis(toNumbers(at!)[0]!, dims.length);
    const values = toNumbers(t!);
    const [n, step] = [dims[axis]!, numel(dims.slice(axis + 1))];
    const out = [...values];
    for (let first = 0; first < values.length; first++) {
      if (Math.floor(first / step) % n !== 0) continue;
      let total = start;
      for (let i = 0; i < n; i++) {
        const k = first + (attrs.int('reverse', 0) === 1 ? n - 1 - i : i) * step;
        const before = total;
        total = combine(total, values[k]!);
        out[k] = attrs.int('exclusive', 0) === 1 ? before : total;
      }
    }
    return [fromNumbers(dtype, dims, out)];
  };

/** Running sums; the adjoint runs the other way. */
export const cumSum = defineOp({
  opType: 'CumSum',
  sinceVersion: 14,
  infer: ({ x }) => [x(0)],
  grad: ({ op, x, dy, attrs }) => [
    op.apply('CumSum', [dy, x(1)], {
      exclusive: attrs.int('exclusive', 0),
      reverse: 1 - attrs.int('reverse', 0),
    }),
    null,
  ],
  fold: running(0, (a, b) => a + b),
});

/**
 * Running products, written as log₂ n products of the tensor with itself moved along (Hillis and Steele 1986): nothing is
 * divided by, so that the gradient is right at zeros too.
 */
export const cumProd = defineOp({
  opType: 'CumProd',
  sinceVersion: 26,
  infer: ({ x }) => [x(0)],
  decompose: (c) => {
    const { op, x, attrs } = c;
    const { dims, dtype } = x(0);
    const axis = normalizeAxis(knownInts(c, 1)[0]!, dims.length);
    const n = dims[axis]!;
    const reverse = attrs.int('reverse', 0) === 1;
    /** Moved by `by` places, with ones where nothing comes from. */
    const moved = (v: Value, by: number): Value => {
      const ones = op.expand(
        op.scalar(1, dtype),
        dims.map((d, i) => (i === axis ? by : d)),
      );
      return op.concat(reverse ? [op.slice(v, axis, by, n), ones] : [ones, op.slice(v, axis, 0, n - by)], axis);
    };
    let y = attrs.int('exclusive', 0) === 1 && n > 0 ? moved(x(0), 1) : x(0);
    for (let by = 1; by < n; by *= 2) y = op.mul(y, moved(y, by));
    return [y];
  },
  fold: running(1, (a, b) => a * b),
});

/** Reverses the beginning of each row, as long as the row says: its own inverse, so its own adjoint. */
export const reverseSequence = defineOp({
  opType: 'ReverseSequence',
  sinceVersion: 10,
  infer: ({ x }) => [x(0)],
  grad: ({ op, x, dy, attrs }) => [
    op.apply('ReverseSequence', [dy, x(1)], {
      batch_axis: attrs.int('batch_axis', 1),
      time_axis: attrs.int('time_axis', 0),
    }),
    null,
  ],
});

/** Ones at the indices of a new axis and zeros elsewhere, or any two values. */
export const oneHot = defineOp({
  opType: 'OneHot',
  sinceVersion: 11,
  infer: (c) => {
    const depth = knownInts(c, 1)[0]!;
    const { dims } = c.x(0);
    const axis = normalizeAxis(c.attrs.int('axis', -1), dims.length + 1);
    return [{ dtype: c.x(2).dtype, dims: [...dims.slice(0, axis), depth, ...dims.slice(axis)] }];
  },
  grad: ({ op, x, dy, attrs }) => {
    const axis = attrs.int('axis', -1);
    const binary: Value = op.concat(
      [op.reshape(op.scalar(0, dy.dtype), [1]), op.reshape(op.scalar(1, dy.dtype), [1])],
      0,
    );
    const hot = op.mul(dy, op.apply('OneHot', [x(0), x(1), binary], { axis }));
    const on = op.reduceSumAll(hot);
    const off = op.sub(op.reduceSumAll(dy), on);
    return [null, null, op.concat([op.reshape(off, [1]), op.reshape(on, [1])], 0)];
  },
});

/** One at the largest element of each row, the first of equals: piecewise constant. */
export const hardmax = defineOp({ opType: 'Hardmax', sinceVersion: 13, infer: ({ x }) => [x(0)], grad: 'none' });
