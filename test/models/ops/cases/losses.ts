import { i64 } from '#models/tensor/tensor.ts';
import { type GradientCase, positive } from '#test/support/check-gradient.ts';

const losses = (opType: string): GradientCase[] => [
  ...['mean', 'sum', 'none'].map(
    (reduction): GradientCase => ({
      title: `${opType}, ${reduction}`,
      inputs: { x: [3, 4] },
      build: (op, x) => op.apply(opType, [x!, op.i64([2, 0, 3])], { reduction }),
    }),
  ),
  {
    title: `${opType} of images, weighted, with targets to ignore`,
    inputs: { x: [2, 3, 2, 2] },
    build: (op, x) =>
      op.apply(
        opType,
        [
          x!,
          op.constant(i64([2, 2, 2], [0, 2, 1, -1, -1, 2, 0, 1])),
          op.apply('Exp', [op.cast(op.i64([0, 1, 0]), x!.dtype)]),
        ],
        { ignore_index: -1 },
      ),
  },
];

export const lossCases: readonly GradientCase[] = [
  ...losses('NegativeLogLikelihoodLoss'),
  ...losses('SoftmaxCrossEntropyLoss'),
  {
    title: 'SoftmaxCrossEntropyLoss with its log-probabilities',
    inputs: { x: [[3, 4], positive] },
    build: (op, x) => op.applyMany('SoftmaxCrossEntropyLoss', [x!, op.i64([2, 0, 3])], {}, 2),
  },
];
