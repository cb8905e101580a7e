import { float, str } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

interface Form {
  readonly mode: 'nearest' | 'linear' | 'cubic';
  readonly coordinate: string;
  readonly nearest?: string;
  readonly scales?: readonly number[];
  readonly sizes?: readonly number[];
  readonly axes?: readonly number[];
  readonly dims?: readonly number[];
  readonly roi?: readonly number[];
  readonly antialias?: boolean;
  readonly excludeOutside?: boolean;
  readonly policy?: string;
}

const resize = (form: Form): GradientCase => {
  const { mode, coordinate, nearest, scales, sizes, axes, dims = [1, 2, 4, 5], roi, policy } = form;
  const more = [
    form.antialias && 'antialiased',
    form.excludeOutside && 'nothing outside',
    roi && `roi [${roi}]`,
    policy,
  ];
  return {
    title: `Resize ${mode} ${coordinate}${nearest ? ` ${nearest}` : ''} of [${dims}] ${
      scales ? `by [${scales}]` : `to [${sizes}]`
    }${axes ? ` on axes [${axes}]` : ''}${more.map((t) => (t ? `, ${t}` : '')).join('')}`,
    inputs: { x: dims },
    // With a value for what lies outside it is not linear, but affine.
    linear: !roi,
    build: (op, x) =>
      op.apply(
        'Resize',
        scales
          ? [x!, roi ? op.f32([roi.length], roi) : null, op.f32([scales.length], scales)]
          : [x!, roi ? op.f32([roi.length], roi) : null, null, op.i64(sizes!)],
        {
          mode: str(mode),
          coordinate_transformation_mode: str(coordinate),
          nearest_mode: nearest ? str(nearest) : undefined,
          axes,
          antialias: form.antialias,
          exclude_outside: form.excludeOutside,
          keep_aspect_ratio_policy: policy ? str(policy) : undefined,
          extrapolation_value: roi ? float(0.5) : undefined,
        },
      ),
  };
};

const coordinates = ['half_pixel', 'half_pixel_symmetric', 'asymmetric', 'align_corners', 'pytorch_half_pixel'];

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
  resize({ mode: 'nearest', coordinate: 'half_pixel', sizes: [1, 2, 4, 5] }),
  resize({ mode: 'nearest', coordinate: 'asymmetric', nearest: 'floor', scales: [1, 1, 2, 2] }),
  resize({ mode: 'nearest', coordinate: 'asymmetric', nearest: 'floor', scales: [1, 1, 3, 1] }),
  resize({ mode: 'nearest', coordinate: 'asymmetric', nearest: 'floor', scales: [1, 1, 2], dims: [2, 3, 4] }),
  resize({ mode: 'linear', coordinate: 'half_pixel', scales: [1, 1, 2], dims: [2, 3, 4] }),
  resize({ mode: 'linear', coordinate: 'half_pixel', scales: [1, 1, 2, 1.5, 2], dims: [1, 2, 2, 4, 3] }),
  resize({ mode: 'nearest', coordinate: 'half_pixel', scales: [2, 2], axes: [2, 3] }),
  resize({ mode: 'linear', coordinate: 'half_pixel', sizes: [6, 3], axes: [-2, -1] }),
  ...(['linear', 'cubic'] as const).flatMap((mode) => [
    resize({ mode, coordinate: 'half_pixel', scales: [1, 1, 0.5, 0.4], dims: [1, 2, 8, 10], antialias: true }),
    resize({ mode, coordinate: 'half_pixel', sizes: [1, 2, 3, 7], dims: [1, 2, 8, 10], antialias: true }),
    resize({ mode, coordinate: 'align_corners', sizes: [1, 2, 3, 12], dims: [1, 2, 8, 10], antialias: true }),
    resize({ mode, coordinate: 'half_pixel', scales: [0.5, 0.6], axes: [2, 3], antialias: true }),
    resize({
      mode,
      coordinate: 'half_pixel',
      sizes: [1, 2, 3, 4],
      dims: [1, 2, 8, 10],
      antialias: true,
      excludeOutside: true,
    }),
  ]),
  resize({ mode: 'cubic', coordinate: 'half_pixel', scales: [1, 1, 2, 0.6], excludeOutside: true }),
  resize({ mode: 'cubic', coordinate: 'asymmetric', sizes: [1, 2, 3, 8], excludeOutside: true }),
  ...(['nearest', 'linear', 'cubic'] as const).flatMap((mode) => [
    resize({ mode, coordinate: 'tf_crop_and_resize', sizes: [1, 2, 3, 3], roi: [0, 0, 0.2, 0.1, 1, 1, 0.7, 0.9] }),
    resize({ mode, coordinate: 'tf_crop_and_resize', sizes: [1, 2, 5, 4], roi: [0, 0, -0.3, 0.4, 1, 1, 0.7, 1.4] }),
    resize({ mode, coordinate: 'tf_crop_and_resize', sizes: [4, 7], roi: [0.2, 0.1, 0.7, 0.9], axes: [2, 3] }),
  ]),
  resize({ mode: 'linear', coordinate: 'tf_crop_and_resize', sizes: [4, 1], roi: [0.2, 0.1, 0.7, 1.3], axes: [2, 3] }),
  resize({
    mode: 'linear',
    coordinate: 'tf_crop_and_resize',
    scales: [1, 1, 2, 1.5],
    roi: [0, 0, 0.2, 0.1, 1, 1, 0.7, 0.9],
  }),
  ...['not_larger', 'not_smaller'].flatMap((policy) => [
    resize({ mode: 'linear', coordinate: 'half_pixel', sizes: [7, 7], axes: [2, 3], policy }),
    resize({ mode: 'nearest', coordinate: 'half_pixel_symmetric', sizes: [3, 7], axes: [2, 3], policy }),
  ]),
];
