import { fromNumbers, i64 } from '#models/tensor/tensor.ts';
import { apart, type GradientCase } from '#test/support/check-gradient.ts';

const topK = (note: string, axis: number, k: number, largest: number, sorted: number): GradientCase => ({
  title: `TopK ${note}`,
  inputs: { x: [[3, 4], apart] },
  build: (op, x) => {
    const [values, indices] = op.applyMany('TopK', [x!, op.i64([k])], { axis, largest, sorted }, 2);
    return [op.exp(values!), op.mul(values!, op.cast(indices!, x!.dtype))];
  },
});

export const orderCases: readonly GradientCase[] = [
  topK('the two largest of each row', -1, 2, 1, 1),
  topK('the smallest of each column', 0, 1, 0, 1),
  topK('all, unsorted', 1, 4, 1, 0),
  {
    title: 'TopK whose indices nobody reads',
    inputs: { x: [[2, 5], apart] },
    build: (op, x) => op.applyMany('TopK', [x!, op.i64([3])], {}, 2)[0]!,
  },
  ...[0, 1].flatMap((exclusive) =>
    [0, 1].map(
      (reverse): GradientCase => ({
        title: `CumSum${exclusive ? ', exclusive' : ''}${reverse ? ', from the end' : ''}`,
        inputs: { x: [2, 4, 3] },
        linear: true,
        build: (op, x) => op.apply('CumSum', [x!, op.scalar(-2, 'int64')], { exclusive, reverse }),
      }),
    ),
  ),
  ...[0, 1].flatMap((exclusive) =>
    [0, 1].map(
      (reverse): GradientCase => ({
        title: `CumProd${exclusive ? ', exclusive' : ''}${reverse ? ', from the end' : ''}`,
        inputs: { x: [2, 5, 3] },
        opset: 26,
        build: (op, x) => op.apply('CumProd', [x!, op.scalar(-2, 'int64')], { exclusive, reverse }),
      }),
    ),
  ),
  {
    title: 'CumProd over a zero',
    inputs: { x: [[4], (rng) => [rng.normal(), 0, rng.normal(), rng.normal()]] },
    opset: 26,
    build: (op, x) => op.apply('CumProd', [x!, op.scalar(0, 'int64')]),
  },
  ...[0, 1].map(
    (batch): GradientCase => ({
      title: `ReverseSequence, batch axis ${batch}`,
      inputs: { x: [4, 4, 2] },
      linear: true,
      build: (op, x) =>
        op.apply('ReverseSequence', [x!, op.i64([1, 3, 4, 2])], { batch_axis: batch, time_axis: 1 - batch }),
    }),
  ),
  ...[-1, 0].map(
    (axis): GradientCase => ({
      title: `OneHot with trained values, axis ${axis}`,
      inputs: { values: [2] },
      linear: true,
      build: (op, values) => op.apply('OneHot', [op.i64([1, 0, -1]), op.scalar(4, 'int64'), values!], { axis }),
    }),
  ),
  {
    title: 'no gradient flows through Hardmax, and none is lost beside it',
    inputs: { x: [[3, 4], apart] },
    build: (op, x) => op.add2(op.apply('Hardmax', [x!], { axis: 0 }), op.exp(x!)),
  },
  {
    title: 'Compress of an axis',
    inputs: { x: [2, 4] },
    linear: true,
    build: (op, x) => op.apply('Compress', [x!, op.constant(fromNumbers('bool', [3], [0, 1, 1]))], { axis: 1 }),
  },
  {
    title: 'Compress of all elements',
    inputs: { x: [2, 3] },
    linear: true,
    build: (op, x) => op.apply('Compress', [x!, op.constant(fromNumbers('bool', [5], [1, 0, 0, 1, 1]))]),
  },
  {
    title: 'EyeLike',
    inputs: { x: [3, 4] },
    linear: true,
    build: (op, x) => op.mul(x!, op.apply('EyeLike', [x!], { k: 1 })),
  },
  {
    title: 'a gather at the places that are not zero, found on import',
    inputs: { x: [3, 2] },
    linear: true,
    build: (op, x) => {
      const mask = op.constant(i64([3, 2], [0, 1, 1, 0, 0, 1]));
      return op.apply('GatherND', [x!, op.transpose(op.apply('NonZero', [mask]), [1, 0])]);
    },
  },
];
