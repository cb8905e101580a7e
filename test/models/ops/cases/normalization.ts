import { float } from '#models/onnx/ir.ts';
import { fromNumbers, numel } from '#models/tensor/tensor.ts';
import { type GradientCase, positive } from '#test/support/check-gradient.ts';

const layer = (x: readonly number[], axis: number, bias: boolean): GradientCase => {
  const shape = x.slice(axis < 0 ? axis + x.length : axis);
  return {
    title: `LayerNormalization of [${x}] from axis ${axis}${bias ? '' : ' without bias'}`,
    inputs: { x, scale: shape, ...(bias ? { bias: shape } : {}) },
    build: (op, v, s, b) => op.apply('LayerNormalization', b ? [v!, s!, b] : [v!, s!], { axis }),
  };
};

const ones = (dims: readonly number[], value = 1) => new Array<number>(numel(dims)).fill(value);

export const normalizationCases: readonly GradientCase[] = [
  layer([2, 3, 5], -1, true),
  layer([2, 3, 5], -1, false),
  layer([2, 3, 5], 1, true),
  layer([2, 3, 2, 2], -2, true),
  layer([6], 0, true),
  layer([2, 3], 0, false),
  {
    title: 'LayerNormalization with a large epsilon',
    inputs: { x: [3, 4], scale: [4], bias: [4] },
    build: (op, x, s, b) => op.apply('LayerNormalization', [x!, s!, b!], { epsilon: float(0.5) }),
  },
  {
    title: 'LayerNormalization with unit scale and no bias',
    inputs: { x: [3, 4] },
    build: (op, x) => op.apply('LayerNormalization', [x!, op.constant(fromNumbers(x!.dtype, [4], ones([4])))]),
  },
  {
    title: 'LayerNormalization with unit scale and a constant bias',
    inputs: { x: [3, 4] },
    build: (op, x) =>
      op.apply('LayerNormalization', [
        x!,
        op.constant(fromNumbers(x!.dtype, [4], ones([4]))),
        op.constant(fromNumbers(x!.dtype, [4], ones([4], 0.5))),
      ]),
  },
  {
    title: 'InstanceNormalization of images',
    inputs: { x: [2, 3, 3, 2], scale: [3], bias: [3] },
    build: (op, x, s, b) => op.apply('InstanceNormalization', [x!, s!, b!], { epsilon: float(1e-2) }),
  },
  {
    title: 'InstanceNormalization of rows',
    inputs: { x: [2, 3, 4], scale: [3], bias: [3] },
    build: (op, x, s, b) => op.apply('InstanceNormalization', [x!, s!, b!]),
  },
  {
    title: 'InstanceNormalization with unit scale and no bias, as an exported GroupNorm begins',
    inputs: { x: [2, 2, 6] },
    build: (op, x) =>
      op.apply('InstanceNormalization', [
        x!,
        op.constant(fromNumbers(x!.dtype, [2], [1, 1])),
        op.constant(fromNumbers(x!.dtype, [2], [0, 0])),
      ]),
  },
  ...[1, 2, 4].map(
    (groups): GradientCase => ({
      title: `GroupNormalization of four channels in ${groups} group(s)`,
      inputs: { x: [2, 4, 3, 2], scale: [4], bias: [4] },
      // Its stash_type asks for float32 inside, whatever the input.
      float32: true,
      build: (op, x, s, b) =>
        op.apply('GroupNormalization', [x!, s!, b!], { num_groups: groups, epsilon: float(1e-3) }),
    }),
  ),
  ...[
    [2, 3],
    [2, 3, 4],
    [2, 3, 2, 2],
  ].map(
    (dims): GradientCase => ({
      title: `BatchNormalization of [${dims}] with given statistics`,
      inputs: { x: dims, scale: [3], bias: [3], mean: [3], variance: [[3], positive] },
      build: (op, ...xs) => op.apply('BatchNormalization', xs, { epsilon: float(1e-2) }),
    }),
  ),
];
