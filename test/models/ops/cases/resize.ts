import { str } from '#models/onnx/ir.ts';
import { f32 } from '#models/tensor/tensor.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

interface Form {
  readonly mode: 'nearest' | 'linear' | 'cubic';
  readonly coordinate: string;
  readonly nearest?: string;
  readonly scales?: readonly number[];
  readonly sizes?: readonly number[];
  readonly axes?: readonly number[];
  readonly dims?: readonly number[];
}

const resize = (form: Form): GradientCase => {
  const { mode, coordinate, nearest, scales, sizes, axes, dims = [1, 2, 4, 5] } = form;
  return {
    title: `Resize ${mode} ${coordinate}${nearest ? ` ${nearest}` : ''} of [${dims}] ${
      scales ? `by [${scales}]` : `to [${sizes}]`
    }${axes ? ` on axes [${axes}]` : ''}`,
    inputs: { x: dims },
    linear: true,
    build: (op, x) =>
      op.apply(
        'Resize',
        scales ? [x!, null, op.constant(f32([scales.length], scales))] : [x!, null, null, op.i64(sizes!)],
        {
          mode: str(mode),
          coordinate_transformation_mode: str(coordinate),
          nearest_mode: nearest ? str(nearest) : undefined,
          axes,
        },
      ),
  };
};

const coordinates = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel'];

export const resizeCases: readonly GradientCase[] = [
  ...coordinates.flatMap((coordinate) => [
    ...(['nearest', 'linear', 'cubic'] as const).flatMap((mode) => [
      resize({ mode, coordinate, scales: [1, 1, 2, 2] }),
      resize({ mode, coordinate, scales: [1, 1, 0.5, 0.6] }),
      resize({ mode, coordinate, sizes: [1, 2, 7, 3] }),
    ]),
    resize({ mode: 'linear', coordinate, sizes: [1, 2, 1, 1] }),
    ...['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'].map((nearest) =>
      resize({ mode: 'nearest', coordinate, nearest, sizes: [1, 2, 6, 3] }),
    ),
  ]),
  resize({ mode: 'nearest', coordinate: 'asymmetric', nearest: 'floor', scales: [1, 1, 2, 2] }),
  resize({ mode: 'nearest', coordinate: 'asymmetric', nearest: 'floor', scales: [1, 1, 3, 1] }),
  resize({ mode: 'nearest', coordinate: 'asymmetric', nearest: 'floor', scales: [1, 1, 2], dims: [2, 3, 4] }),
  resize({ mode: 'linear', coordinate: 'half_pixel', scales: [1, 1, 2], dims: [2, 3, 4] }),
  resize({ mode: 'linear', coordinate: 'half_pixel', scales: [1, 1, 2, 1.5, 2], dims: [1, 2, 2, 4, 3] }),
  resize({ mode: 'nearest', coordinate: 'half_pixel', scales: [2, 2], axes: [2, 3] }),
  resize({ mode: 'linear', coordinate: 'half_pixel', sizes: [6, 3], axes: [-2, -1] }),
];
