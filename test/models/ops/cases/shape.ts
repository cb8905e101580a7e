import { str } from '#models/onnx/ir.ts';
import { apart, type GradientCase } from '#test/support/check-gradient.ts';

type Build = GradientCase['build'];

const one = (title: string, dims: readonly number[], build: Build): GradientCase => ({
  title,
  inputs: { x: dims },
  linear: true,
  build,
});

const slice = (
  dims: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] | null,
  steps: readonly number[] | null,
) =>
  one(
    `Slice of [${dims}] from [${starts}] to [${ends}]${axes ? ` on axes [${axes}]` : ''}${steps ? ` by [${steps}]` : ''}`,
    dims,
    (op, x) =>
      op.apply(
        'Slice',
        [x!, op.i64(starts), op.i64(ends), axes ? op.i64(axes) : null, ...(steps ? [op.i64(steps)] : [])].slice(
          0,
          steps ? 5 : axes ? 4 : 3,
        ),
      ),
  );

const gather = (dims: readonly number[], axis: number, indices: readonly number[], shape?: readonly number[]) =>
  one(`Gather of [${dims}] on axis ${axis} at [${indices}]${shape ? ` shaped [${shape}]` : ''}`, dims, (op, x) =>
    op.gather(x!, shape ? op.reshape(op.i64(indices), shape) : op.i64(indices), axis),
  );

const FAR = 2 ** 31 - 1;

export const shapeCases: readonly GradientCase[] = [
  one('Reshape with a copied and a free size', [2, 3, 4], (op, x) => op.apply('Reshape', [x!, op.i64([0, -1])])),
  one('Reshape to a scalar', [1, 1], (op, x) => op.apply('Reshape', [x!, op.i64([])])),
  ...[0, 1, 2, 3, -1].map((axis) =>
    one(`Flatten at axis ${axis}`, [2, 3, 4], (op, x) => op.apply('Flatten', [x!], { axis })),
  ),
  one('Squeeze of two axes', [1, 3, 1, 2], (op, x) => op.apply('Squeeze', [x!, op.i64([0, -2])])),
  one('Squeeze of every axis of size one', [1, 3, 1], (op, x) => op.apply('Squeeze', [x!])),
  one('Unsqueeze at both ends', [2, 3], (op, x) => op.apply('Unsqueeze', [x!, op.i64([-1, 0])])),
  one('Transpose by a cycle', [2, 3, 4], (op, x) => op.apply('Transpose', [x!], { perm: [2, 0, 1] })),
  one('Transpose without a permutation', [2, 3, 4], (op, x) => op.apply('Transpose', [x!])),
  {
    title: 'Concat of three on a negative axis',
    inputs: { a: [2, 1, 3], b: [2, 2, 3], c: [2, 4, 3] },
    linear: true,
    build: (op, a, b, c) => op.apply('Concat', [a!, b!, c!], { axis: -2 }),
  },
  {
    title: 'Concat of a value with itself',
    inputs: { a: [2, 3] },
    build: (op, a) => op.concat([a!, op.exp(a!), a!], 0),
  },
  {
    title: 'Split into given sizes',
    inputs: { x: [2, 7] },
    linear: true,
    build: (op, x) => op.split(x!, -1, [1, 4, 2]),
  },
  {
    title: 'Split of which one part is used',
    inputs: { x: [6, 2] },
    linear: true,
    build: (op, x) => op.split(x!, 0, [2, 3, 1])[1]!,
  },
  {
    title: 'Split into parts of which the last is smaller',
    inputs: { x: [7, 2] },
    linear: true,
    build: (op, x) => op.applyMany('Split', [x!], { axis: 0, num_outputs: 3 }, 3),
  },
  slice([5, 6], [1, 2], [4, 5], null, null),
  slice([5, 6], [-3], [FAR], [0], null),
  slice([5, 6], [0], [-1], [-1], null),
  slice([5, 6], [0], [FAR], [1], [2]),
  slice([5, 7], [1], [6], [1], [3]),
  slice([5, 6], [-1], [-FAR], [0], [-1]),
  slice([5, 6], [4], [0], [1], [-2]),
  slice([5, 6], [3, 5], [0, -7], [0, 1], [-1, -3]),
  slice([4, 3, 5], [0, 1], [4, 4], [0, 2], [1, 2]),
  slice([5], [10], [-10], [0], [-1]),
  one('Expand to a larger rank', [3, 1], (op, x) => op.apply('Expand', [x!, op.i64([2, 1, 4])])),
  one('Expand that keeps a size', [2, 3], (op, x) => op.apply('Expand', [x!, op.i64([1, 1])])),
  one('Tile', [2, 3], (op, x) => op.apply('Tile', [x!, op.i64([2, 3])])),
  one('Tile of one axis', [2, 1, 3], (op, x) => op.apply('Tile', [x!, op.i64([1, 4, 1])])),
  gather([4, 3], 0, [2, 0, 2, 2]),
  gather([4, 3], 0, [-1, 1, -4, 3]),
  gather([2, 5, 3], 1, [4, -1, 0]),
  gather([2, 3, 5], -1, [0, 0, -5, 1], [2, 2]),
  gather([4, 3], 0, [-2], []),
  gather([6], 0, [5, 5, 0, -6], [2, 2]),
  one('Trilu, upper', [2, 3, 4], (op, x) => op.apply('Trilu', [x!])),
  one('Trilu, lower, one diagonal up', [4, 4], (op, x) => op.apply('Trilu', [x!, op.scalar(1, 'int64')], { upper: 0 })),
  one('SpaceToDepth', [2, 3, 4, 6], (op, x) => op.apply('SpaceToDepth', [x!], { blocksize: 2 })),
  one('DepthToSpace, depth first', [2, 8, 2, 3], (op, x) => op.apply('DepthToSpace', [x!], { blocksize: 2 })),
  one('DepthToSpace, column first', [2, 8, 2, 3], (op, x) =>
    op.apply('DepthToSpace', [x!], { blocksize: 2, mode: str('CRD') }),
  ),
  {
    title: 'ArgMax and ArgMin choose, and the gradient goes around them',
    inputs: { x: [[4, 3], apart] },
    build: (op, x) => {
      const rows = op.apply('ArgMax', [x!], { axis: 0, keepdims: 0 });
      const columns = op.apply('ArgMin', [x!], { axis: -1, keepdims: 1 });
      return [op.gather(op.exp(x!), rows, 0), op.mul(x!, op.cast(columns, x!.dtype))];
    },
  },
];
