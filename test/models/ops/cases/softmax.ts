import type { GradientCase } from '#test/support/check-gradient.ts';

export const softmaxCases: readonly GradientCase[] = ['Softmax', 'LogSoftmax'].flatMap((opType) => [
  ...[-1, 0, 1, -2, 2].map(
    (axis): GradientCase => ({
      title: `${opType} over axis ${axis}`,
      inputs: { x: [2, 3, 4] },
      build: (op, x) => op.apply(opType, [x!], { axis }),
    }),
  ),
  { title: `${opType} over its default axis`, inputs: { x: [3, 5] }, build: (op, x) => op.apply(opType, [x!]) },
  {
    title: `${opType} of large logits`,
    inputs: { x: [[2, 4], (rng, n) => Array.from({ length: n }, () => 200 + rng.normal())] },
    build: (op, x) => op.apply(opType, [x!]),
  },
]);
