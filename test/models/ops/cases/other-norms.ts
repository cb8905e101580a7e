import { float } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

export const otherNormCases: readonly GradientCase[] = [
  ...[
    { x: [2, 3, 4], axis: -1, scale: [4] },
    { x: [2, 3, 4], axis: 1, scale: [3, 4] },
  ].map(
    ({ x, axis, scale }): GradientCase => ({
      title: `RMSNormalization of [${x}] from axis ${axis}`,
      inputs: { x, scale },
      opset: 23,
      // Its stash_type asks for float32 inside, whatever the input.
      float32: true,
      build: (op, v, s) => op.apply('RMSNormalization', [v!, s!], { axis, epsilon: float(1e-3) }),
    }),
  ),
  ...[1, 2].flatMap((p) =>
    [-1, 1].map(
      (axis): GradientCase => ({
        title: `LpNormalization, p = ${p}, over axis ${axis}`,
        inputs: { x: [2, 3, 4] },
        build: (op, x) => op.apply('LpNormalization', [x!], { p, axis }),
      }),
    ),
  ),
  {
    title: 'MeanVarianceNormalization over its default axes',
    inputs: { x: [2, 3, 3, 2] },
    build: (op, x) => op.apply('MeanVarianceNormalization', [x!]),
  },
  {
    title: 'MeanVarianceNormalization over the last axis',
    inputs: { x: [2, 5] },
    build: (op, x) => op.apply('MeanVarianceNormalization', [x!], { axes: [-1] }),
  },
  ...[3, 5].map(
    (size): GradientCase => ({
      title: `LRN over ${size} of five channels`,
      inputs: { x: [2, 5, 2, 3] },
      build: (op, x) => op.apply('LRN', [x!], { size, alpha: float(0.5), beta: float(0.6), bias: float(1.2) }),
    }),
  ),
];
