import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { dtypeOf } from '#models/onnx/data-types.ts';
import { type DType, fromNumbers, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import {
  broadcastDims,
  defineOp,
  type GradContext,
  type GradRule,
  type NodeAttributes,
  type OpDefinition,
} from './define.ts';

/** d y / d x of a one-input operator, as an expression. */
type UnaryRule = (context: GradContext & { x0: Value }) => Value;

const unary = (
  opType: string,
  sinceVersion: number,
  derivative: UnaryRule | 'none',
  fold?: (x: number) => number,
): OpDefinition =>
  defineOp({
    opType,
    sinceVersion,
    infer: ({ x }) => [{ dtype: x(0).dtype, dims: x(0).dims }],
    grad:
      derivative === 'none'
        ? 'none'
        : (c) => [c.op.mul(c.dy, derivative({ ...c, x0: c.x(0) })), ...c.inputs.slice(1).map(() => null)],
    ...(fold ? { fold: ([a]) => [fromNumbers(a!.dtype, a!.dims, toNumbers(a!).map(fold))] } : {}),
  });

const binary = (
  opType: string,
  sinceVersion: number,
  grad: GradRule | 'none',
  fold: (a: number, b: number, dtype: DType, attrs: NodeAttributes) => number,
  result?: DType,
): OpDefinition =>
  defineOp({
    opType,
    sinceVersion,
    infer: ({ x }) => [{ dtype: result ?? x(0).dtype, dims: broadcastDims([x(0).dims, x(1).dims]) }],
    grad,
    fold: ([a, b], attrs) => [foldBinary(a!, b!, (x, y, dtype) => fold(x, y, dtype, attrs), result)],
  });

const variadic = (opType: string, sinceVersion: number, grad: GradRule): OpDefinition =>
  defineOp({
    opType,
    sinceVersion,
    infer: ({ x, inputs }) => [{ dtype: x(0).dtype, dims: broadcastDims(inputs.map((v) => v!.dims)) }],
    grad,
  });

function foldBinary(a: Tensor, b: Tensor, f: (a: number, b: number, dtype: DType) => number, result?: DType): Tensor {
  const dims = broadcastDims([a.dims, b.dims]);
  const pick = broadcastReader(dims);
  const va = pick(a);
  const vb = pick(b);
  return fromNumbers(
    result ?? a.dtype,
    dims,
    va.map((x, i) => f(x, vb[i]!, a.dtype)),
  );
}

/** Elements of a tensor broadcast to `dims`, in row-major order. */
export function broadcastReader(dims: readonly number[]): (t: Tensor) => number[] {
  const total = dims.reduce((p, d) => p * d, 1);
  return (t) => {
    const values = toNumbers(t);
    const rank = dims.length;
    const strides = new Array<number>(rank).fill(0);
    let stride = 1;
    for (let i = t.dims.length - 1; i >= 0; i--) {
      const j = rank - t.dims.length + i;
      strides[j] = t.dims[i] === 1 ? 0 : stride;
      stride *= t.dims[i]!;
    }
    return Array.from({ length: total }, (_, flat) => {
      let rest = flat;
      let at = 0;
      for (let j = rank - 1; j >= 0; j--) {
        at += (rest % dims[j]!) * strides[j]!;
        rest = Math.floor(rest / dims[j]!);
      }
      return values[at]!;
    });
  };
}

const isInteger = (d: DType) => d.startsWith('int') || d.startsWith('uint');
const one = (op: GraphBuilder, v: Value) => op.scalar(1, v.dtype);
/** 1 where the condition holds, in the gradient's dtype. */
const indicator = (op: GraphBuilder, condition: Value, like: Value) => op.cast(condition, like.dtype);

const SQRT_2 = Math.SQRT2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

export const elementwise: readonly OpDefinition[] = [
  // Arithmetic
  binary(
    'Add',
    14,
    ({ dy }) => [dy, dy],
    (a, b) => a + b,
  ),
  binary(
    'Sub',
    14,
    ({ op, dy, needs }) => [dy, needs(1) ? op.neg(dy) : null],
    (a, b) => a - b,
  ),
  binary(
    'Mul',
    14,
    ({ op, dy, x, needs }) => [needs(0) ? op.mul(dy, x(1)) : null, needs(1) ? op.mul(dy, x(0)) : null],
    (a, b) => a * b,
  ),
  binary(
    'Div',
    14,
    ({ op, dy, x, y, needs }) => {
      const q = op.div(dy, x(1));
      return [q, needs(1) ? op.neg(op.mul(q, y)) : null];
    },
    (a, b, dtype) => (isInteger(dtype) ? Math.trunc(a / b) : a / b),
  ),
  binary(
    'Pow',
    15,
    (c) => {
      const { op, dy, x, y, needs } = c;
      const base = x(0);
      const exponent = x(1);
      const p = op.cast(exponent, base.dtype);
      const value = c.constant(1);
      const constant = value && value.data.length === 1 ? toNumbers(value)[0] : undefined;
      // p·x^(p−1), without a Pow for the common squares and roots.
      const dBase = () => {
        if (constant === 2) return op.mulScalar(base, 2);
        if (constant === 0.5) return op.div(op.scalar(0.5, base.dtype), y);
        if (constant === 3) return op.mulScalar(op.mul(base, base), 3);
        return op.mul(p, op.apply('Pow', [base, op.addScalar(p, -1)]));
      };
      return [
        needs(0) ? op.mul(dy, dBase()) : null,
        needs(1) ? op.cast(op.mul(op.mul(dy, y), op.log(base)), exponent.dtype) : null,
      ];
    },
    (a, b) => a ** b,
  ),
  unary(
    'Neg',
    13,
    ({ op, dy }) => op.scalar(-1, dy.dtype),
    (x) => -x,
  ),
  unary('Abs', 13, ({ op, x0 }) => op.apply('Sign', [x0]), Math.abs),
  unary('Sign', 13, 'none', Math.sign),
  unary(
    'Reciprocal',
    13,
    ({ op, y }) => op.neg(op.mul(y, y)),
    (x) => 1 / x,
  ),
  variadic('Sum', 13, ({ dy, inputs }) => inputs.map(() => dy)),
  variadic('Mean', 13, ({ op, dy, inputs }) => inputs.map(() => op.mulScalar(dy, 1 / inputs.length))),
  // Ties: the gradient goes to the first input that attains the extremum, as a subgradient.
  variadic('Max', 13, (c) => extremum(c)),
  variadic('Min', 13, (c) => extremum(c)),
  // y = a − b·q with a whole quotient q.
  binary(
    'Mod',
    13,
    ({ op, dy, x, y, needs }) => [
      dy,
      needs(1) ? op.neg(op.mul(dy, op.apply('Round', [op.div(op.sub(x(0), y), x(1))]))) : null,
    ],
    // With fmod the sign is the dividend's, otherwise the divisor's.
    (a, b, _dtype, attrs) => (attrs.int('fmod', 0) === 1 ? a % b : ((a % b) + b) % b),
  ),

  // Transcendental
  unary('Exp', 13, ({ y }) => y, Math.exp),
  unary('Log', 13, ({ op, x0 }) => op.apply('Reciprocal', [x0]), Math.log),
  unary('Sqrt', 13, ({ op, y }) => op.div(op.scalar(0.5, y.dtype), y), Math.sqrt),
  unary('Sin', 7, ({ op, x0 }) => op.apply('Cos', [x0])),
  unary('Cos', 7, ({ op, x0 }) => op.neg(op.apply('Sin', [x0]))),
  unary('Tanh', 13, ({ op, y }) => op.sub(one(op, y), op.mul(y, y))),
  unary('Sigmoid', 13, ({ op, y }) => op.mul(y, op.sub(one(op, y), y))),
  unary('Erf', 13, ({ op, x0 }) => op.mulScalar(op.exp(op.neg(op.mul(x0, x0))), 2 / Math.sqrt(Math.PI))),
  unary('Softplus', 1, ({ op, x0 }) => op.sigmoid(x0)),
  unary('Softsign', 1, ({ op, x0 }) => {
    const d = op.addScalar(op.apply('Abs', [x0]), 1);
    return op.apply('Reciprocal', [op.mul(d, d)]);
  }),

  // Activations
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
  defineOp({
    opType: 'Clip',
    sinceVersion: 13,
    infer: ({ x }) => [x(0)],
    grad: ({ op, x, inputs, dy }) => {
      let g = dy;
      if (inputs[1]) g = op.mul(g, indicator(op, op.apply('GreaterOrEqual', [x(0), inputs[1]]), dy));
      if (inputs[2]) g = op.mul(g, indicator(op, op.apply('LessOrEqual', [x(0), inputs[2]]), dy));
      return [g, ...inputs.slice(1).map(() => null)];
    },
  }),
  defineOp({
    opType: 'Where',
    sinceVersion: 16,
    infer: ({ x }) => [{ dtype: x(1).dtype, dims: broadcastDims([x(0).dims, x(1).dims, x(2).dims]) }],
    grad: ({ op, x, dy, needs }) => {
      const zero = op.scalar(0, dy.dtype);
      return [null, needs(1) ? op.where(x(0), dy, zero) : null, needs(2) ? op.where(x(0), zero, dy) : null];
    },
    fold: ([c, a, b]) => {
      const dims = broadcastDims([c!.dims, a!.dims, b!.dims]);
      const read = broadcastReader(dims);
      const va = read(a!);
      const vb = read(b!);
      return [
        fromNumbers(
          a!.dtype,
          dims,
          read(c!).map((v, i) => (v ? va[i]! : vb[i]!)),
        ),
      ];
    },
  }),
  defineOp({
    opType: 'Cast',
    sinceVersion: 13,
    infer: ({ x, attrs }) => [{ dtype: castTarget(attrs), dims: x(0).dims }],
    grad: ({ op, x, dy }) => [op.cast(dy, x(0).dtype)],
    fold: ([a], attrs) => [fromNumbers(castTarget(attrs), a!.dims, toNumbers(a!))],
  }),
  defineOp({
    opType: 'Identity',
    sinceVersion: 1,
    infer: ({ x }) => [x(0)],
    grad: ({ dy }) => [dy],
    fold: ([a]) => [a!],
  }),
  // Dropout at inference is the identity; its mask output carries no gradient.
  defineOp({
    opType: 'Dropout',
    sinceVersion: 13,
    infer: ({ x }) => [x(0), { dtype: 'bool', dims: x(0).dims }],
    grad: ({ dy, inputs }) => [dy, ...inputs.slice(1).map(() => null)],
  }),

  // Comparison and logic
  ...(['Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual'] as const).map((opType) =>
    binary(opType, opType.length > 8 ? 16 : 13, 'none', (a, b) => Number(compare[opType](a, b)), 'bool'),
  ),
  ...(['And', 'Or', 'Xor'] as const).map((opType) =>
    binary(opType, 7, 'none', (a, b) => Number(opType === 'And' ? a && b : opType === 'Or' ? a || b : a !== b), 'bool'),
  ),
  unary('Not', 1, 'none', (x) => Number(!x)),
  unary('Floor', 13, 'none', Math.floor),
  unary('Ceil', 13, 'none', Math.ceil),
  unary('Round', 11, 'none'),
  defineOp({ opType: 'IsNaN', sinceVersion: 13, infer: ({ x }) => [{ dtype: 'bool', dims: x(0).dims }], grad: 'none' }),
  defineOp({ opType: 'IsInf', sinceVersion: 10, infer: ({ x }) => [{ dtype: 'bool', dims: x(0).dims }], grad: 'none' }),
];

const compare = {
  Equal: (a: number, b: number) => a === b,
  Greater: (a: number, b: number) => a > b,
  Less: (a: number, b: number) => a < b,
  GreaterOrEqual: (a: number, b: number) => a >= b,
  LessOrEqual: (a: number, b: number) => a <= b,
};

function extremum({ op, inputs, y, dy }: GradContext): Value[] {
  let taken: Value | null = null;
  return inputs.map((v) => {
    const attains = op.apply('Equal', [v!, y]);
    const mine: Value = taken ? op.apply('And', [attains, op.apply('Not', [taken])]) : attains;
    taken = taken ? op.apply('Or', [taken, attains]) : attains;
    return op.mul(dy, op.cast(mine, dy.dtype));
  });
}

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

/** @throws {NorthlightError} `onnx/dtype` for a type we cannot hold. */
function castTarget(attrs: NodeAttributes): DType {
  const code = attrs.int('to');
  const dtype = dtypeOf(code);
  if (!dtype) throw new NorthlightError('onnx/dtype', `A Cast asks for element type ${code}, which we cannot hold.`);
  return dtype;
}
