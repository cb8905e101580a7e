import { float, str } from '#models/onnx/ir.ts';
import { awayFromZero, type Draw, type GradientCase, normal, positive } from '#test/support/check-gradient.ts';

type Attributes = Record<string, number | ReturnType<typeof float>>;

const unary = (opType: string, draw: Draw = normal, attributes: Attributes = {}, note = ''): GradientCase => ({
  title: `${opType}${note}`,
  inputs: { x: [[2, 3, 4], draw] },
  build: (op, x) => op.apply(opType, [x!], attributes),
});

/** Several units on both sides of zero, no value within 0.1 of a whole or half number, where some of these have corners. */
const wide: Draw = (rng, n) => Array.from({ length: n }, () => (rng.int(19) - 9) / 2 + 0.1 + 0.3 * rng.uniform());

export const activationCases: readonly GradientCase[] = [
  unary('Relu', awayFromZero),
  unary('LeakyRelu', awayFromZero, { alpha: float(0.3) }, ' with slope 0.3'),
  unary('LeakyRelu', awayFromZero),
  unary('Elu', awayFromZero, { alpha: float(0.7) }, ' with alpha 0.7'),
  unary('Elu', awayFromZero),
  // Saturates beyond ±2.5 at slope 0.2: the draw has both sides and the middle.
  unary('HardSigmoid', (rng, n) => awayFromZero(rng, n).map((v) => (Math.abs(v) > 1 ? v * 3 : v))),
  unary('HardSigmoid', awayFromZero, { alpha: float(0.25), beta: float(0.4) }, ' with its own slope and offset'),
  ...[[2, 3, 4], [3, 1], [1]].map(
    (slope): GradientCase => ({
      title: `PRelu with slopes [${slope}]`,
      inputs: { x: [[2, 3, 4], awayFromZero], slope: [slope, positive] },
      build: (op, x, s) => op.apply('PRelu', [x!, s!]),
    }),
  ),
  unary('Gelu'),
  {
    title: 'Gelu in its tanh form',
    inputs: { x: [3, 5] },
    build: (op, x) => op.apply('Gelu', [x!], { approximate: str('tanh') }),
  },
  unary('Selu', awayFromZero),
  unary('Selu', awayFromZero, { alpha: float(1.2), gamma: float(0.8) }, ' with its own alpha and gamma'),
  { ...unary('Celu', awayFromZero), float32: true },
  { ...unary('Celu', awayFromZero, { alpha: float(0.6) }, ' with alpha 0.6'), float32: true },
  unary('ThresholdedRelu', wide),
  unary('ThresholdedRelu', wide, { alpha: float(0.5) }, ' above 0.5'),
  { ...unary('Shrink', wide), float32: true },
  { ...unary('Shrink', wide, { lambd: float(1.5), bias: float(0.7) }, ' by 0.7 beyond 1.5'), float32: true },
  unary('HardSwish', wide),
  unary('Mish', wide),
  ...[1, 1.7].map(
    (alpha): GradientCase => ({
      ...unary('Swish', normal, { alpha: float(alpha) }, ` with alpha ${alpha}`),
      opset: 24,
    }),
  ),
];
