import { str } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

const one = (title: string, dims: readonly number[], build: GradientCase['build']): GradientCase => ({
  title,
  inputs: { x: dims },
  linear: true,
  build,
});

const mode = (name: string, dims: readonly number[], pads: readonly number[]): GradientCase =>
  one(`Pad ${name} of [${dims}] by [${pads}]`, dims, (op, x) =>
    op.apply('Pad', [x!, op.i64(pads)], { mode: str(name) }),
  );

export const padCases: readonly GradientCase[] = [
  one('Pad unevenly', [2, 3], (op, x) => op.apply('Pad', [x!, op.i64([1, 0, 2, 3])])),
  {
    title: 'Pad with a value',
    inputs: { x: [2, 3] },
    build: (op, x) => op.apply('Pad', [x!, op.i64([0, 1, 0, 2]), op.scalar(0.5, x!.dtype)]),
  },
  one('Pad of named axes', [2, 3, 4], (op, x) => op.apply('Pad', [x!, op.i64([1, 0, 2, 1]), null, op.i64([-1, 0])])),
  one('CenterCropPad of odd and even differences both ways', [3, 4, 6, 5], (op, x) =>
    op.apply('CenterCropPad', [x!, op.i64([6, 6, 3, 3])]),
  ),
  one('CenterCropPad of named axes', [2, 5, 4], (op, x) =>
    op.apply('CenterCropPad', [x!, op.i64([7, 2])], { axes: [-1, 1] }),
  ),
  one('Pad that also cuts', [4, 5], (op, x) => op.apply('Pad', [x!, op.i64([-1, 2, 1, -2])])),
  ...['reflect', 'edge', 'wrap'].flatMap((name) => [
    mode(name, [1, 2, 4, 5], [0, 0, 1, 2, 0, 0, 1, 2]),
    mode(name, [2, 5], [0, 4, 0, 1]),
    mode(name, [4, 3], [2, 0, 3, 2]),
    mode(name, [2, 6], [0, -1, 0, 2]),
    mode(name, [2, 6], [0, 2, 0, -2]),
    one(`Pad ${name} of named axes`, [2, 3, 4], (op, x) =>
      op.apply('Pad', [x!, op.i64([1, 2, 1, 0]), null, op.i64([1, -1])], { mode: str(name) }),
    ),
  ]),
];
