import { defineOp } from './define.ts';

/** Softmax over one axis. x, y, dy: `[..., n, ...]`. dx = y ⊙ (dy − Σ_axis dy ⊙ y). */
export const softmax = defineOp({
  opType: 'Softmax',
  sinceVersion: 13,
  infer: ({ x }) => [x(0)],
  grad: ({ op, attrs, y, dy }) => {
    const dot = op.reduceSum(op.mul(dy, y), [attrs.int('axis', -1)]);
    return [op.mul(y, op.sub(dy, dot))];
  },
});

/** dx = dy − softmax(x) ⊙ Σ_axis dy. */
export const logSoftmax = defineOp({
  opType: 'LogSoftmax',
  sinceVersion: 13,
  infer: ({ x }) => [x(0)],
  grad: ({ op, attrs, y, dy }) => [op.sub(dy, op.mul(op.exp(y), op.reduceSum(dy, [attrs.int('axis', -1)])))],
});
