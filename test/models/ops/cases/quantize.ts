import { fromNumbers } from '#models/tensor/tensor.ts';
import { type GradientCase, positive } from '#test/support/check-gradient.ts';

/** Products of activations with weights kept in eight bits. The runtime dequantises to float32 only. */
export const quantizeCases: readonly GradientCase[] = [
  {
    title: 'DequantizeLinear of a weight, one scale',
    inputs: { x: [2, 3], scale: [[], positive] },
    linear: true,
    float32: true,
    build: (op, x, scale) =>
      op.matmul(
        x!,
        op.apply('DequantizeLinear', [
          op.constant(fromNumbers('uint8', [3, 2], [0, 255, 7, 130, 12, 100])),
          scale!,
          op.scalar(120, 'uint8'),
        ]),
      ),
  },
  ...[0, 1].map(
    (axis): GradientCase => ({
      title: `DequantizeLinear of a weight, a scale per index of axis ${axis}`,
      inputs: { x: [2, 3], scale: [[axis === 0 ? 3 : 2], positive] },
      linear: true,
      float32: true,
      build: (op, x, scale) =>
        op.matmul(
          x!,
          op.apply(
            'DequantizeLinear',
            [op.constant(fromNumbers('int8', [3, 2], [0, 127, 7, -128, 12, -100])), scale!],
            { axis },
          ),
        ),
    }),
  ),
  {
    title: 'DequantizeLinear of a weight in blocks, the last one short',
    inputs: { x: [2, 5], scale: [[3, 2], positive] },
    linear: true,
    float32: true,
    build: (op, x, scale) =>
      op.matmul(
        x!,
        op.apply(
          'DequantizeLinear',
          [
            op.constant(fromNumbers('int8', [5, 2], [0, 12, 7, -12, 1, -10, 3, 9, 4, -8])),
            scale!,
            op.constant(fromNumbers('int8', [3, 2], [1, 2, 3, -1, -2, -3])),
          ],
          { axis: 0, block_size: 2 },
        ),
      ),
  },
];
