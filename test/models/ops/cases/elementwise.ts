import type { float } from '#models/onnx/ir.ts';
import { fromNumbers } from '#models/tensor/tensor.ts';
import { apart, awayFromZero, type Draw, type GradientCase, normal, positive } from '#test/support/check-gradient.ts';

type Attributes = Record<string, number | ReturnType<typeof float>>;

const unary = (opType: string, draw: Draw = normal, attributes: Attributes = {}, note = ''): GradientCase => ({
  title: `${opType}${note}`,
  inputs: { x: [[2, 3, 4], draw] },
  build: (op, x) => op.apply(opType, [x!], attributes),
});

const binary = (
  opType: string,
  a: readonly number[],
  b: readonly number[],
  draw: Draw = awayFromZero,
): GradientCase => ({
  title: `${opType} of [${a}] and [${b}]`,
  inputs: { a: [a, draw], b: [b, draw] },
  build: (op, x, y) => op.apply(opType, [x!, y!]),
});

const power = (exponent: number): GradientCase => ({
  title: `Pow with the constant exponent ${exponent}`,
  inputs: { x: [[2, 5], positive] },
  build: (op, x) => op.apply('Pow', [x!, op.scalar(exponent, x!.dtype)]),
});

/** Exact eighths in ±2: with a modulus near 0.75, no quotient is near a whole number's jump. */
const away: Draw = (rng, n) => Array.from({ length: n }, () => rng.int(5) - 2 + 0.2 + 0.3 * rng.uniform());

/** In ±0.7: inside the domain of the inverse functions. */
const inner: Draw = (rng, n) => Array.from({ length: n }, () => 1.4 * rng.uniform() - 0.7);

export const elementwiseCases: readonly GradientCase[] = [
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((opType) => [
    binary(opType, [2, 3], [2, 3]),
    binary(opType, [2, 3, 4], [4]),
    binary(opType, [3, 1], [2, 1, 4]),
    binary(opType, [2, 3], []),
    binary(opType, [1, 1, 3], [2, 2, 1]),
  ]),
  {
    title: 'a value used twice gets both gradients',
    inputs: { x: [2, 3] },
    build: (op, x) => op.mul(op.add2(x!, x!), op.exp(x!)),
  },
  ...[2, 1, 0.5, 3, -1, -0.5, 1.7].map(power),
  {
    title: 'Pow with an exponent of zero adds nothing, also at zero',
    inputs: { x: [4] },
    build: (op, x) => {
      const flat = op.apply('Pow', [op.mulScalar(x!, 0), op.scalar(0, x!.dtype)]);
      const mixed = op.apply('Pow', [x!, op.constant(fromNumbers(x!.dtype, [4], [0, 2, 3, 0]))]);
      return [op.add2(flat, x!), mixed];
    },
  },
  {
    title: 'Pow of zero by a differentiated exponent',
    inputs: { p: [[3], positive] },
    build: (op, p) => op.apply('Pow', [op.constant(fromNumbers(p!.dtype, [3], [0, 2, 0.5])), p!]),
  },
  {
    title: 'Pow of a negative base by a whole number that is computed',
    inputs: { x: [[4], awayFromZero] },
    build: (op, x) => op.apply('Pow', [x!, op.cast(op.addScalar(op.mulScalar(x!, 0), 3), 'int64')]),
  },
  binary('Pow', [2, 3], [3], positive),
  binary('Pow', [3, 1], [1, 4], positive),
  unary('Neg'),
  unary('Abs', awayFromZero),
  unary('Reciprocal', awayFromZero),
  {
    title: 'Sum of three, broadcast',
    inputs: { a: [2, 3], b: [3], c: [2, 1] },
    build: (op, a, b, c) => op.apply('Sum', [a!, b!, c!]),
  },
  {
    title: 'Mean of three, broadcast',
    inputs: { a: [2, 3], b: [1], c: [4, 1, 3] },
    build: (op, a, b, c) => op.apply('Mean', [a!, b!, c!]),
  },
  ...['Max', 'Min'].flatMap((opType): GradientCase[] => [
    {
      title: `${opType} of three`,
      inputs: {
        a: [[3, 4], apart],
        b: [[3, 4], (rng, n) => apart(rng, n).map((v) => v + 0.03)],
        c: [[3, 4], (rng, n) => apart(rng, n).map((v) => v - 0.03)],
      },
      build: (op, a, b, c) => op.apply(opType, [a!, b!, c!]),
    },
    {
      title: `${opType} of two, broadcast`,
      inputs: { a: [[3, 4], apart], b: [[4], (rng, n) => apart(rng, n).map((v) => v + 0.03)] },
      build: (op, a, b) => op.apply(opType, [a!, b!]),
    },
  ]),
  {
    title: 'Mod of floats, with the sign of the dividend',
    inputs: { a: [[3, 4], away], b: [[4], (_, n) => Array.from({ length: n }, (_v, i) => (i % 2 ? 1 : -1))] },
    build: (op, a, b) => op.apply('Mod', [a!, b!], { fmod: 1 }),
  },
  unary('Exp'),
  unary('Log', positive),
  unary('Sqrt', positive),
  unary('Sin'),
  unary('Cos'),
  unary('Tan', inner),
  unary('Asin', inner),
  unary('Acos', inner),
  unary('Atan'),
  unary('Sinh'),
  unary('Cosh'),
  unary('Asinh'),
  unary('Acosh', (rng, n) => positive(rng, n).map((v) => v + 1)),
  unary('Atanh', inner),
  unary('Tanh'),
  unary('Sigmoid'),
  unary('Erf'),
  unary('Softplus'),
  unary('Softsign', awayFromZero),
  {
    title: 'Clip on both sides',
    inputs: { x: [[4, 5], apart] },
    build: (op, x) => op.apply('Clip', [x!, op.scalar(-0.5, x!.dtype), op.scalar(0.4, x!.dtype)]),
  },
  {
    title: 'Clip below only',
    inputs: { x: [[4, 5], apart] },
    build: (op, x) => op.apply('Clip', [x!, op.scalar(-0.2, x!.dtype)]),
  },
  {
    title: 'Clip above only',
    inputs: { x: [[4, 5], apart] },
    build: (op, x) => op.apply('Clip', [x!, null, op.scalar(0.2, x!.dtype)]),
  },
  {
    title: 'Clip by bounds that are trained',
    inputs: { x: [[4, 5], apart], low: [[], () => [-0.52]], high: [[], () => [0.43]] },
    build: (op, x, low, high) => op.apply('Clip', [x!, low!, high!]),
  },
  {
    title: 'Clip by bounds that cross: the upper one wins',
    inputs: { x: [[4, 5], apart], low: [[], () => [0.43]], high: [[], () => [-0.52]] },
    mayVanish: true,
    build: (op, x, low, high) => op.apply('Clip', [x!, low!, high!]),
  },
  {
    title: 'CastLike',
    direct: true,
    inputs: { x: [2, 3] },
    build: (op, x) => op.apply('CastLike', [op.exp(x!), op.scalar(0, x!.dtype)]),
  },
  {
    title: 'Where with a broadcast condition and branches',
    inputs: { a: [2, 1, 4], b: [3, 1], c: [[3, 4], awayFromZero] },
    build: (op, a, b, c) => op.where(op.apply('Greater', [c!, op.scalar(0, c!.dtype)]), op.mul(a!, c!), b!),
  },
  {
    title: 'Cast through float32',
    inputs: { x: [2, 3] },
    // Powers of two only, so that rounding to float32 does not show in a difference of 10⁻⁶.
    build: (op, x) =>
      op.cast(op.apply('Cast', [op.mulScalar(x!, 2)], { to: x!.dtype === 'float64' ? 11 : 1 }), x!.dtype),
  },
  { title: 'Identity', inputs: { x: [2, 3] }, direct: true, build: (op, x) => op.apply('Identity', [x!]) },
  { title: 'Dropout at inference', inputs: { x: [2, 3] }, direct: true, build: (op, x) => op.apply('Dropout', [x!]) },
  {
    title: 'Dropout whose mask is read',
    inputs: { x: [2, 3] },
    build: (op, x) => {
      const [y, mask] = op.applyMany('Dropout', [x!], {}, 2);
      return op.mul(y!, op.addScalar(op.cast(mask!, x!.dtype), 1));
    },
  },
  {
    title: 'no gradient flows through Sign, Floor, Ceil and Round, and none is lost beside them',
    inputs: { x: [[3, 4], away] },
    build: (op, x) =>
      ['Sign', 'Floor', 'Ceil', 'Round'].reduce((sum, name) => op.add2(sum, op.apply(name, [x!])), op.exp(x!)),
  },
];
