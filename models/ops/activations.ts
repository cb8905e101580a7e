import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { defineOp, type OpDefinition } from './define.ts';
import { indicator, one, unary } from './elementwise.ts';

const above = (op: GraphBuilder, x: Value, bound: number): Value => op.apply('Greater', [x, op.scalar(bound, x.dtype)]);
const below = (op: GraphBuilder, x: Value, bound: number): Value => op.apply('Less', [x, op.scalar(bound, x.dtype)]);

/** Nonlinearities that networks apply to each element. */
export const activations: readonly OpDefinition[] = [
  unary(
    'Relu',
    14,
    ({ op, x0, dy }) => indicator(op, op.apply('Greater', [x0, op.scalar(0, x0.dtype)]), dy),
    (x) => Math.max(x, 0),
  ),
  unary('LeakyRelu', 16, ({ op, x0, attrs }) =>
    op.where(
      op.apply('Greater', [x0, op.scalar(0, x0.dtype)]),
      one(op, x0),
      op.scalar(attrs.float('alpha', 0.01), x0.dtype),
    ),
  ),
  unary('Elu', 6, ({ op, x0, y, attrs }) =>
    op.where(op.apply('Greater', [x0, op.scalar(0, x0.dtype)]), one(op, x0), op.addScalar(y, attrs.float('alpha', 1))),
  ),
  unary('HardSigmoid', 6, ({ op, y, dy, attrs }) =>
    op.mulScalar(
      indicator(
        op,
        op.apply('And', [op.apply('Greater', [y, op.scalar(0, y.dtype)]), op.apply('Less', [y, one(op, y)])]),
        dy,
      ),
      attrs.float('alpha', 0.2),
    ),
  ),
  defineOp({
    opType: 'PRelu',
    sinceVersion: 16,
    infer: ({ x }) => [x(0)],
    grad: ({ op, x, dy }) => {
      const positive = op.apply('Greater', [x(0), op.scalar(0, dy.dtype)]);
      const zero = op.scalar(0, dy.dtype);
      return [op.where(positive, dy, op.mul(dy, x(1))), op.where(positive, zero, op.mul(dy, x(0)))];
    },
  }),
  // Gelu(x) = x·Φ(x); the tanh form is the usual approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415).
  unary('Gelu', 20, ({ op, x0, attrs }) =>
    attrs.str('approximate', 'none') === 'tanh' ? geluTanhDerivative(op, x0) : geluDerivative(op, x0),
  ),
  // γ·x above zero, γ·α·(eˣ − 1) below (Klambauer et al. 2017, arXiv:1706.02515).
  unary('Selu', 6, ({ op, x0, y, attrs }) => {
    const alpha = attrs.float('alpha', 1.6732631921768188);
    const gamma = attrs.float('gamma', 1.0507010221481323);
    return op.where(above(op, x0, 0), op.scalar(gamma, x0.dtype), op.addScalar(y, gamma * alpha));
  }),
  // α·(e^(x/α) − 1) below zero (Barron 2017, arXiv:1704.07483).
  unary('Celu', 12, ({ op, x0, y, attrs }) =>
    op.where(above(op, x0, 0), one(op, x0), op.addScalar(op.mulScalar(y, 1 / attrs.float('alpha', 1)), 1)),
  ),
  unary('ThresholdedRelu', 10, ({ op, x0, dy, attrs }) => indicator(op, above(op, x0, attrs.float('alpha', 1)), dy)),
  unary('Shrink', 9, ({ op, x0, dy, attrs }) => {
    const lambda = attrs.float('lambd', 0.5);
    return indicator(op, op.apply('Or', [above(op, x0, lambda), below(op, x0, -lambda)]), dy);
  }),
  // x·min(1, max(0, x/6 + 1/2)).
  unary('HardSwish', 14, ({ op, x0 }) =>
    op.where(
      below(op, x0, -3),
      op.scalar(0, x0.dtype),
      op.where(above(op, x0, 3), one(op, x0), op.addScalar(op.mulScalar(x0, 1 / 3), 0.5)),
    ),
  ),
  // x·tanh(softplus(x)) (Misra 2019, arXiv:1908.08681).
  unary('Mish', 18, ({ op, x0 }) => {
    const t = op.tanh(op.apply('Softplus', [x0]));
    const sech2 = op.sub(one(op, x0), op.mul(t, t));
    return op.add2(t, op.mul(x0, op.mul(sech2, op.sigmoid(x0))));
  }),
  // x·σ(αx): newer than the opset we build in, so it is written out (and then differentiated as SiLU is).
  defineOp({
    opType: 'Swish',
    sinceVersion: 24,
    infer: ({ x }) => [x(0)],
    decompose: ({ op, x, attrs }) => [op.mul(x(0), op.sigmoid(op.mulScalar(x(0), attrs.float('alpha', 1))))],
  }),
];

const SQRT_2 = Math.SQRT2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

/** Φ(x) + x·φ(x). */
function geluDerivative(op: GraphBuilder, x: Value): Value {
  const cdf = op.mulScalar(op.addScalar(op.apply('Erf', [op.mulScalar(x, 1 / SQRT_2)]), 1), 0.5);
  const pdf = op.mulScalar(op.exp(op.mulScalar(op.mul(x, x), -0.5)), INV_SQRT_2PI);
  return op.add2(cdf, op.mul(x, pdf));
}

function geluTanhDerivative(op: GraphBuilder, x: Value): Value {
  const k = Math.sqrt(2 / Math.PI);
  const x2 = op.mul(x, x);
  const t = op.tanh(op.mulScalar(op.mul(x, op.addScalar(op.mulScalar(x2, 0.044715), 1)), k));
  const sech2 = op.sub(op.scalar(1, x.dtype), op.mul(t, t));
  const inner = op.mulScalar(op.addScalar(op.mulScalar(x2, 3 * 0.044715), 1), k);
  return op.mulScalar(op.add2(op.addScalar(t, 1), op.mul(x, op.mul(sech2, inner))), 0.5);
}
