import { type Attribute, str } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

type Attributes = Readonly<Record<string, number | readonly number[] | Attribute>> & { readonly group?: number };

const conv = (
  note: string,
  x: readonly number[],
  w: readonly number[],
  attributes: Attributes = {},
  opType = 'Conv',
  bias = true,
): GradientCase => ({
  title: `${opType} ${note}`,
  inputs: {
    x,
    w,
    ...(bias ? { b: [opType === 'Conv' ? w[0]! : w[1]! * (attributes.group ?? 1)] } : {}),
  },
  linear: true,
  build: (op, v, k, b) => op.apply(opType, b ? [v!, k!, b] : [v!, k!], { kernel_shape: w.slice(2), ...attributes }),
});

const transposed = (
  note: string,
  x: readonly number[],
  w: readonly number[],
  attributes: Attributes = {},
  bias = true,
) => conv(note, x, w, attributes, 'ConvTranspose', bias);

export const convCases: readonly GradientCase[] = [
  conv('1×1', [2, 3, 4, 4], [5, 3, 1, 1]),
  conv('3×3 padded', [2, 3, 5, 4], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }),
  conv('3×3 without bias', [1, 2, 5, 5], [3, 2, 3, 3], {}, 'Conv', false),
  conv('stride 2', [2, 2, 6, 7], [3, 2, 3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] }),
  conv('stride 2 leaving a remainder', [1, 2, 8, 8], [3, 2, 3, 3], { strides: [2, 3] }),
  conv('asymmetric padding, as a down-sampler pads', [1, 2, 6, 6], [3, 2, 3, 3], {
    strides: [2, 2],
    pads: [0, 0, 1, 1],
  }),
  conv('asymmetric padding at stride 1', [1, 2, 5, 5], [3, 2, 3, 2], { pads: [2, 0, 0, 1] }),
  conv('padding wider than the kernel', [1, 2, 3, 3], [2, 2, 1, 2], { pads: [2, 3, 1, 2] }),
  conv('dilated', [1, 2, 7, 7], [3, 2, 3, 3], { dilations: [2, 2], pads: [2, 2, 2, 2] }),
  conv('dilated and strided', [1, 2, 9, 8], [3, 2, 3, 2], { dilations: [2, 3], strides: [2, 1], pads: [1, 0, 2, 1] }),
  conv('two groups', [2, 4, 5, 5], [6, 2, 3, 3], { group: 2, pads: [1, 1, 1, 1] }),
  conv('depthwise', [2, 3, 5, 5], [3, 1, 3, 3], { group: 3, pads: [1, 1, 1, 1] }),
  conv('depthwise with stride and two kernels per channel', [1, 3, 6, 6], [6, 1, 3, 3], { group: 3, strides: [2, 2] }),
  conv('1D', [2, 3, 8], [4, 3, 3], { pads: [1, 1] }),
  conv('1D, strided, dilated, grouped', [2, 4, 11], [4, 2, 3], {
    strides: [2],
    dilations: [2],
    group: 2,
    pads: [0, 1],
  }),
  conv('3D', [1, 2, 4, 3, 4], [3, 2, 2, 3, 1], { pads: [1, 1, 0, 0, 1, 0] }),
  conv('3D, strided', [1, 2, 4, 5, 4], [2, 2, 3, 3, 3], { strides: [1, 2, 2], pads: [1, 1, 1, 1, 1, 1] }),
  conv('3D, grouped, dilated, strided', [1, 4, 4, 5, 4], [4, 2, 2, 2, 2], {
    group: 2,
    strides: [2, 1, 1],
    dilations: [1, 2, 1],
    pads: [0, 1, 0, 1, 0, 1],
  }),
  conv('1D, auto_pad SAME_LOWER', [2, 3, 7], [4, 3, 2], { auto_pad: str('SAME_LOWER'), strides: [3] }),
  conv('auto_pad SAME_UPPER', [1, 2, 6, 5], [3, 2, 3, 2], { auto_pad: str('SAME_UPPER'), strides: [2, 2] }),
  conv('auto_pad SAME_LOWER', [1, 2, 6, 5], [3, 2, 2, 3], { auto_pad: str('SAME_LOWER'), strides: [2, 1] }),
  conv('auto_pad VALID', [1, 2, 6, 5], [3, 2, 2, 3], { auto_pad: str('VALID') }),
  transposed('1D', [2, 3, 5], [3, 2, 3], { strides: [2] }),
  transposed('stride 2, as an up-sampler', [2, 3, 3, 4], [3, 2, 4, 4], { strides: [2, 2], pads: [1, 1, 1, 1] }),
  transposed('with output padding', [1, 3, 3, 3], [3, 2, 3, 3], {
    strides: [2, 2],
    pads: [1, 1, 1, 1],
    output_padding: [1, 1],
  }),
  transposed('asymmetric padding', [1, 2, 4, 4], [2, 3, 3, 3], { pads: [1, 0, 0, 2] }),
  transposed('dilated', [1, 2, 4, 4], [2, 3, 3, 2], { dilations: [2, 1], strides: [1, 2] }),
  transposed('two groups', [1, 4, 3, 3], [4, 3, 3, 3], { group: 2, strides: [2, 2] }),
  ...['SAME_UPPER', 'SAME_LOWER', 'VALID'].flatMap((auto) => [
    transposed(`auto_pad ${auto}`, [1, 2, 3, 4], [2, 3, 3, 4], { auto_pad: str(auto), strides: [2, 1] }),
    transposed(`auto_pad ${auto}, kernel smaller than the stride`, [1, 2, 3], [2, 3, 2], {
      auto_pad: str(auto),
      strides: [3],
    }),
  ]),
  transposed('with output_shape', [1, 2, 3, 4], [2, 3, 3, 3], { output_shape: [6, 8], strides: [2, 2] }),
  transposed('with output_shape, SAME_UPPER', [1, 2, 3, 4], [2, 3, 3, 3], {
    output_shape: [6, 8],
    strides: [2, 2],
    auto_pad: str('SAME_UPPER'),
  }),
  transposed('3D, grouped, dilated, with output padding', [1, 4, 2, 3, 2], [4, 2, 2, 1, 2], {
    group: 2,
    strides: [2, 1, 2],
    dilations: [1, 1, 2],
    pads: [0, 0, 1, 1, 0, 0],
    output_padding: [1, 0, 1],
  }),
  transposed('without bias', [1, 2, 3, 3], [2, 2, 2, 2], {}, false),
  transposed('3D', [1, 2, 2, 3, 2], [2, 2, 2, 2, 3], { strides: [2, 1, 2] }),
];
