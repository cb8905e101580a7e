import { type Attribute, str } from '#models/onnx/ir.ts';
import { apart, awayFromZero, type GradientCase, normal } from '#test/support/check-gradient.ts';

const pool = (
  opType: 'MaxPool' | 'AveragePool',
  note: string,
  x: readonly number[],
  kernel: readonly number[],
  attributes: Record<string, number | readonly number[] | Attribute> = {},
): GradientCase => ({
  title: `${opType} ${note}`,
  inputs: { x: [x, opType === 'MaxPool' ? apart : normal] },
  ...(opType === 'AveragePool' ? { linear: true } : {}),
  build: (op, v) => op.apply(opType, [v!], { kernel_shape: kernel, ...attributes }),
});

const both = (...rest: [string, readonly number[], readonly number[], Parameters<typeof pool>[4]?]): GradientCase[] => [
  pool('MaxPool', ...rest),
  pool('AveragePool', ...rest),
];

export const poolCases: readonly GradientCase[] = [
  ...both('2×2', [2, 3, 4, 4], [2, 2], { strides: [2, 2] }),
  ...both('overlapping', [1, 2, 5, 5], [3, 3]),
  ...both('overlapping, strided, padded', [2, 2, 6, 7], [3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] }),
  ...both('padded unevenly', [1, 2, 5, 6], [3, 2], { strides: [2, 1], pads: [0, 1, 1, 0] }),
  ...both('rounding up', [1, 2, 6, 6], [3, 3], { strides: [2, 2], ceil_mode: 1 }),
  ...both('rounding up with padding', [1, 2, 5, 6], [2, 3], { strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1 }),
  ...both('that leaves a remainder', [1, 1, 7, 8], [2, 2], { strides: [3, 3] }),
  ...both('dilated', [1, 2, 7, 7], [2, 3], { dilations: [2, 2] }),
  ...both('1D', [2, 3, 7], [3], { strides: [2], pads: [1, 0] }),
  ...both('3D', [1, 2, 4, 4, 3], [2, 2, 2], { strides: [2, 1, 1] }),
  ...both('auto_pad SAME_UPPER', [1, 2, 5, 5], [2, 2], { strides: [2, 2], auto_pad: str('SAME_UPPER') }),
  pool('AveragePool', 'counting its padding', [1, 2, 5, 5], [3, 3], {
    strides: [2, 2],
    pads: [1, 1, 1, 1],
    count_include_pad: 1,
  }),
  pool('AveragePool', 'counting its uneven padding and rounding up', [1, 2, 6, 5], [3, 2], {
    strides: [2, 2],
    pads: [1, 0, 0, 1],
    count_include_pad: 1,
    ceil_mode: 1,
  }),
  pool('AveragePool', 'dilated, padded, rounding up', [1, 2, 7, 8], [2, 3], {
    dilations: [2, 2],
    strides: [2, 2],
    pads: [1, 1, 1, 1],
    ceil_mode: 1,
  }),
  pool('AveragePool', 'dilated, counting its padding', [1, 2, 7, 8], [2, 3], {
    dilations: [2, 2],
    pads: [1, 2, 1, 2],
    count_include_pad: 1,
  }),
  ...both('auto_pad SAME_LOWER', [1, 2, 5, 6], [3, 2], { strides: [2, 2], auto_pad: str('SAME_LOWER') }),
  ...both('auto_pad VALID', [1, 2, 5, 6], [3, 2], { strides: [2, 2], auto_pad: str('VALID') }),
  ...both('3D, dilated, padded', [1, 1, 5, 4, 5], [2, 2, 2], { dilations: [2, 1, 2], pads: [1, 0, 1, 1, 0, 1] }),
  ...[1, 2, 3].flatMap((p): GradientCase[] => [
    {
      title: `LpPool, p = ${p}, padded`,
      inputs: { x: [[1, 2, 5, 6], awayFromZero] },
      build: (op, x) => op.apply('LpPool', [x!], { p, kernel_shape: [2, 3], strides: [2, 1], pads: [1, 1, 0, 1] }),
    },
    {
      title: `GlobalLpPool, p = ${p}`,
      inputs: { x: [[2, 3, 4, 3], awayFromZero] },
      build: (op, x) => op.apply('GlobalLpPool', [x!], { p }),
    },
  ]),
  {
    title: 'LpPool rounding up and dilated',
    inputs: { x: [[1, 2, 6, 7], awayFromZero] },
    build: (op, x) =>
      op.apply('LpPool', [x!], { kernel_shape: [2, 2], strides: [2, 2], dilations: [2, 1], ceil_mode: 1 }),
  },
  {
    title: 'MaxPool whose indices are read',
    inputs: { x: [[1, 2, 4, 4], apart] },
    build: (op, x) => {
      const [y, indices] = op.applyMany('MaxPool', [x!], { kernel_shape: [2, 2], dilations: [2, 1] }, 2);
      return op.mul(y!, op.cast(indices!, x!.dtype));
    },
  },
  ...(['GlobalAveragePool', 'GlobalMaxPool'] as const).flatMap((opType): GradientCase[] =>
    [
      [2, 3, 4, 3],
      [2, 3, 5],
    ].map((dims) => ({
      title: `${opType} of [${dims}]`,
      inputs: { x: [dims, apart] },
      build: (op, x) => op.apply(opType, [x!]),
    })),
  ),
];
