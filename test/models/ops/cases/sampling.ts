import { str } from '#models/onnx/ir.ts';
import { i64 } from '#models/tensor/tensor.ts';
import { type Draw, type GradientCase, normal } from '#test/support/check-gradient.ts';

/** Places up to a fifth outside ±1, well away from the lines where a neighbour changes on axes of 3, 4 and 5. */
const places: Draw = (rng, n) =>
  Array.from({ length: n }, () => {
    const v = (rng.int(12) - 6) / 5 + 0.1;
    return v + 0.02 * (rng.uniform() - 0.5) + 0.013;
  });

const sample = (
  mode: string,
  padding: string,
  align: number,
  x: readonly number[],
  grid: readonly number[],
): GradientCase => ({
  title: `GridSample ${mode} of [${x}], ${padding}${align ? ', aligned corners' : ''}`,
  inputs: mode === 'nearest' ? { x } : { x: [x, normal], grid: [grid, places] },
  build: (op, v, g) => {
    const rng = Array.from({ length: grid.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(7 * i) * 1.3);
    const at = g ?? op.cast(op.f32(grid, rng), v!.dtype);
    return op.apply('GridSample', [v!, at], { mode: str(mode), padding_mode: str(padding), align_corners: align });
  },
});

const image = [2, 2, 3, 4];
const grid = [2, 3, 5, 2];

export const samplingCases: readonly GradientCase[] = [
  ...['linear', 'nearest', 'cubic'].flatMap((mode) =>
    ['zeros', 'border', 'reflection'].flatMap((padding) =>
      [0, 1].map((align) => sample(mode, padding, align, image, grid)),
    ),
  ),
  ...['zeros', 'border', 'reflection'].map((padding) => sample('linear', padding, 0, [1, 2, 3, 4, 2], [1, 2, 2, 3, 3])),
  sample('nearest', 'zeros', 1, [1, 2, 3, 4, 2], [1, 2, 2, 3, 3]),
  ...[0, 1].flatMap((align) =>
    [
      { theta: [2, 2, 3], size: [2, 3, 4, 5] },
      { theta: [1, 3, 4], size: [1, 2, 2, 3, 4] },
    ].map(
      ({ theta, size }): GradientCase => ({
        title: `AffineGrid of [${size}]${align ? ', aligned corners' : ''}`,
        inputs: { theta },
        linear: true,
        build: (op, t) => op.apply('AffineGrid', [t!, op.i64(size)], { align_corners: align }),
      }),
    ),
  ),
  {
    title: 'Col2Im',
    inputs: { x: [2, 2 * 4, 6] },
    linear: true,
    build: (op, x) => op.apply('Col2Im', [x!, op.i64([3, 4]), op.i64([2, 2])]),
  },
  {
    title: 'Col2Im strided, dilated, padded',
    inputs: { x: [1, 3 * 6, 9] },
    linear: true,
    build: (op, x) =>
      op.apply('Col2Im', [x!, op.i64([5, 6]), op.i64([2, 3])], {
        strides: [2, 2],
        dilations: [2, 1],
        pads: [1, 0, 1, 1],
      }),
  },
  {
    title: 'Col2Im of one axis',
    inputs: { x: [2, 2 * 3, 4] },
    linear: true,
    build: (op, x) => op.apply('Col2Im', [x!, op.i64([6]), op.i64([3])]),
  },
  {
    title: 'MaxUnpool',
    inputs: { x: [1, 1, 2, 2] },
    linear: true,
    build: (op, x) =>
      op.apply('MaxUnpool', [x!, op.constant(i64([1, 1, 2, 2], [1, 3, 8, 14]))], {
        kernel_shape: [2, 2],
        strides: [2, 2],
      }),
  },
];
