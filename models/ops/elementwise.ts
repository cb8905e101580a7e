import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { dtypeOf } from '#models/onnx/data-types.ts';
import type { Node } from '#models/onnx/ir.ts';
import { isNarrowFloat } from '#models/tensor/narrow.ts';
import { BYTES_PER_ELEMENT, type DType, fromNumbers, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
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

export const unary = (
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

const variadic = (
  opType: string,
  sinceVersion: number,
  grad: GradRule,
  fold: (a: number, b: number) => number,
): OpDefinition =>
  defineOp({
    opType,
    sinceVersion,
    infer: ({ x, inputs }) => [{ dtype: x(0).dtype, dims: broadcastDims(inputs.map((v) => v!.dims)) }],
    grad,
    fold: (inputs) => [inputs.map((t) => t!).reduce((a, b) => foldBinary(a, b, (x, y) => fold(x, y)))],
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
export const one = (op: GraphBuilder, v: Value) => op.scalar(1, v.dtype);
/** 1 where the condition holds, in the gradient's dtype. */
export const indicator = (op: GraphBuilder, condition: Value, like: Value) => op.cast(condition, like.dtype);

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
      // p·x^(p−1), without a Pow for common exponents; x⁰ has no slope, not even at zero.
      const dBase = () => {
        if (constant === 2) return op.mulScalar(base, 2);
        if (constant === 1) return one(op, base);
        if (constant === 0) return op.scalar(0, base.dtype);
        if (constant === 0.5) return op.div(op.scalar(0.5, base.dtype), y);
        if (constant === 3) return op.mulScalar(op.mul(base, base), 3);
        if (constant === -1) return op.neg(op.mul(y, y));
        if (constant === -0.5) return op.mulScalar(op.mul(y, op.mul(y, y)), -0.5);
        const slope = op.mul(p, op.apply('Pow', [base, op.addScalar(p, -1)]));
        if (value && toNumbers(value).every((v) => v !== 0)) return slope;
        return op.where(op.apply('Equal', [p, op.scalar(0, p.dtype)]), op.scalar(0, p.dtype), slope);
      };
      // y·ln x, which goes to 0 with x.
      const dExponent = () => {
        const zero = op.scalar(0, base.dtype);
        return op.mul(y, op.log(op.where(op.apply('Equal', [base, zero]), one(op, base), base)));
      };
      return [
        needs(0) ? op.mul(dy, dBase()) : null,
        needs(1) ? op.cast(op.mul(dy, dExponent()), exponent.dtype) : null,
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
  variadic(
    'Sum',
    13,
    ({ dy, inputs }) => inputs.map(() => dy),
    (a, b) => a + b,
  ),
  defineOp({
    opType: 'Mean',
    sinceVersion: 13,
    infer: ({ x, inputs }) => [{ dtype: x(0).dtype, dims: broadcastDims(inputs.map((v) => v!.dims)) }],
    grad: ({ op, dy, inputs }) => inputs.map(() => op.mulScalar(dy, 1 / inputs.length)),
  }),
  // Ties: the gradient goes to the first input that attains the extremum, as a subgradient.
  variadic('Max', 13, (c) => extremum(c), Math.max),
  variadic('Min', 13, (c) => extremum(c), Math.min),
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
  unary('Sin', 7, ({ op, x0 }) => op.apply('Cos', [x0]), Math.sin),
  unary('Cos', 7, ({ op, x0 }) => op.neg(op.apply('Sin', [x0])), Math.cos),
  unary('Tan', 7, ({ op, y }) => op.addScalar(op.mul(y, y), 1)),
  unary('Asin', 7, ({ op, x0 }) => op.apply('Reciprocal', [op.sqrt(op.sub(one(op, x0), op.mul(x0, x0)))])),
  unary('Acos', 7, ({ op, x0 }) => op.neg(op.apply('Reciprocal', [op.sqrt(op.sub(one(op, x0), op.mul(x0, x0)))]))),
  unary('Atan', 7, ({ op, x0 }) => op.apply('Reciprocal', [op.addScalar(op.mul(x0, x0), 1)])),
  unary('Sinh', 9, ({ op, x0 }) => op.apply('Cosh', [x0])),
  unary('Cosh', 9, ({ op, x0 }) => op.apply('Sinh', [x0])),
  unary('Asinh', 9, ({ op, x0 }) => op.apply('Reciprocal', [op.sqrt(op.addScalar(op.mul(x0, x0), 1))])),
  unary('Acosh', 9, ({ op, x0 }) => op.apply('Reciprocal', [op.sqrt(op.addScalar(op.mul(x0, x0), -1))])),
  unary('Atanh', 9, ({ op, x0 }) => op.apply('Reciprocal', [op.sub(one(op, x0), op.mul(x0, x0))])),
  unary('Tanh', 13, ({ op, y }) => op.sub(one(op, y), op.mul(y, y))),
  unary('Sigmoid', 13, ({ op, y }) => op.mul(y, op.sub(one(op, y), y))),
  unary('Erf', 13, ({ op, x0 }) => op.mulScalar(op.exp(op.neg(op.mul(x0, x0))), 2 / Math.sqrt(Math.PI))),
  unary('Softplus', 1, ({ op, x0 }) => op.sigmoid(x0)),
  unary('Softsign', 1, ({ op, x0 }) => {
    const d = op.addScalar(op.apply('Abs', [x0]), 1);
    return op.apply('Reciprocal', [op.mul(d, d)]);
  }),

  defineOp({
    opType: 'Clip',
    sinceVersion: 13,
    infer: ({ x }) => [x(0)],
    grad: ({ op, x, inputs, dy, needs }) => {
      const [, low, high] = inputs;
      let g = dy;
      if (low) g = op.mul(g, indicator(op, op.apply('GreaterOrEqual', [x(0), low]), dy));
      if (high) g = op.mul(g, indicator(op, op.apply('LessOrEqual', [x(0), high]), dy));
      // A bound gets what it cut off; where the bounds cross, the upper one wins.
      let below: Value | null = null;
      if (low && needs(1)) {
        below = op.mul(dy, indicator(op, op.apply('Less', [x(0), low]), dy));
        if (high) below = op.mul(below, indicator(op, op.apply('LessOrEqual', [low, high]), dy));
      }
      let above: Value | null = null;
      if (high && needs(2)) {
        const highest = low ? op.apply('Max', [x(0), low]) : x(0);
        above = op.mul(dy, indicator(op, op.apply('Greater', [highest, high]), dy));
      }
      return [g, below, above].slice(0, inputs.length);
    },
    fold: ([v, low, high]) => [
      fromNumbers(
        v!.dtype,
        v!.dims,
        toNumbers(v!).map((n) => {
          const raised = low ? Math.max(n, toNumbers(low)[0]!) : n;
          return high ? Math.min(raised, toNumbers(high)[0]!) : raised;
        }),
      ),
    ],
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
    grad: ({ op, node, x, y, dy }) => [op.cast(widened(node, y.dtype, dy), x(0).dtype)],
    fold: ([a], attrs) => [fromNumbers(foldable(castTarget(attrs)), a!.dims, toNumbers(a!))],
  }),
  // To the type of its second input, of which it reads nothing else. The importer writes it as Cast.
  defineOp({
    opType: 'CastLike',
    sinceVersion: 15,
    infer: ({ x }) => [{ dtype: x(1).dtype, dims: x(0).dims }],
    grad: ({ op, node, x, y, dy }) => [op.cast(widened(node, y.dtype, dy), x(0).dtype), null],
    fold: ([a, like]) => [fromNumbers(foldable(like!.dtype), a!.dims, toNumbers(a!))],
  }),
  defineOp({
    opType: 'Identity',
    sinceVersion: 1,
    infer: ({ x }) => [x(0)],
    grad: ({ dy }) => [dy],
    fold: ([a]) => [a!],
  }),
  // Dropout at inference is the identity; in training y = x ⊙ mask / (1 − ratio). The mask carries no gradient.
  defineOp({
    opType: 'Dropout',
    sinceVersion: 13,
    gradOutputs: 2,
    infer: ({ x }) => [x(0), { dtype: 'bool', dims: x(0).dims }],
    grad: ({ op, dy, node, inputs, outputs, constant }) => {
      const none = inputs.slice(1).map(() => null);
      if (!inputs[2]) return [dy, ...none];
      const training = constant(2);
      if (!training) {
        throw new NorthlightError(
          'grad/unsupported',
          `Dropout "${node.name}" is only told at run time whether it drops anything.`,
          'Export the model for inference, or with a constant training_mode.',
        );
      }
      if (toNumbers(training)[0] === 0) return [dy, ...none];
      const ratio = inputs[1] ? op.cast(inputs[1], dy.dtype) : op.scalar(0.5, dy.dtype);
      const left = op.apply('Max', [op.sub(one(op, dy), ratio), op.scalar(1e-12, dy.dtype)]);
      return [op.div(op.mul(dy, op.cast(outputs[1]!, dy.dtype)), left), ...none];
    },
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
  unary('Round', 11, 'none', roundHalfEven),
  ...(['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'] as const).map((opType) =>
    binary(opType, 18, 'none', (a, b, dtype) => bitwise[opType](a, b, dtype)),
  ),
  binary('BitShift', 11, 'none', (a, b, dtype, attrs) => {
    const [x, n] = [BigInt(a), BigInt(b)];
    const shifted = attrs.str('direction') === 'LEFT' ? x << n : x >> n;
    return Number(BigInt.asUintN(8 * BYTES_PER_ELEMENT[dtype], shifted));
  }),
  unary('BitwiseNot', 18, 'none'),
  defineOp({ opType: 'IsNaN', sinceVersion: 13, infer: ({ x }) => [{ dtype: 'bool', dims: x(0).dims }], grad: 'none' }),
  defineOp({ opType: 'IsInf', sinceVersion: 10, infer: ({ x }) => [{ dtype: 'bool', dims: x(0).dims }], grad: 'none' }),
];

function roundHalfEven(x: number): number {
  const f = Math.floor(x);
  return x - f > 0.5 || (x - f === 0.5 && f % 2 !== 0) ? f + 1 : f;
}

const integerOf = (v: bigint, dtype: DType): number => {
  const bits = 8 * BYTES_PER_ELEMENT[dtype];
  return Number(dtype.startsWith('u') ? BigInt.asUintN(bits, v) : BigInt.asIntN(bits, v));
};

const bitwise = {
  BitwiseAnd: (a: number, b: number, dtype: DType) => integerOf(BigInt(a) & BigInt(b), dtype),
  BitwiseOr: (a: number, b: number, dtype: DType) => integerOf(BigInt(a) | BigInt(b), dtype),
  BitwiseXor: (a: number, b: number, dtype: DType) => integerOf(BigInt(a) ^ BigInt(b), dtype),
};

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

/** @throws {NorthlightError} `onnx/dtype` for a type we cannot hold. */
/** Rounding to 8 bits and fewer has an overflow of its own (`saturate`): left to the runtime. */
function foldable(dtype: DType): DType {
  if (BYTES_PER_ELEMENT[dtype] >= 1 && !isNarrowFloat(dtype)) return dtype;
  throw new NorthlightError('onnx/fold', `A cast to ${dtype} is not computed here.`);
}

/** dy, unless the cast rounds to a float of 8 bits or fewer. @throws {NorthlightError} `grad/no-rule` */
function widened(node: Node, dtype: DType, dy: Value): Value {
  if (!isNarrowFloat(dtype)) return dy;
  throw new NorthlightError(
    'grad/no-rule',
    `No gradient for Cast to ${dtype} at node "${node.name}": rounding an activation to so few bits leaves no slope.`,
    'Export the model without quantised activations; weights may be stored in that type.',
  );
}

function castTarget(attrs: NodeAttributes): DType {
  const code = attrs.int('to');
  const dtype = dtypeOf(code);
  if (!dtype) throw new NorthlightError('onnx/dtype', `A Cast asks for element type ${code}, which we cannot hold.`);
  return dtype;
}
