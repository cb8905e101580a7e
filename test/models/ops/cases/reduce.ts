import { apart, awayFromZero, type Draw, type GradientCase, normal, positive } from '#test/support/check-gradient.ts';

const reduce = (
  opType: string,
  axes: readonly number[] | null,
  keepdims: number,
  draw: Draw,
  dims: readonly number[] = [2, 3, 4],
): GradientCase => ({
  title: `${opType} of [${dims}] over ${axes ? `axes [${axes}]` : 'all axes'}${keepdims ? ', kept' : ''}`,
  inputs: { x: [dims, draw] },
  build: (op, x) => op.apply(opType, axes ? [x!, op.i64(axes)] : [x!], { keepdims }),
});

const draws: Readonly<Record<string, Draw>> = {
  ReduceSum: normal,
  ReduceMean: normal,
  ReduceSumSquare: normal,
  ReduceL2: awayFromZero,
  ReduceL1: awayFromZero,
  ReduceLogSumExp: normal,
  ReduceLogSum: positive,
  ReduceMax: apart,
  ReduceMin: apart,
  ReduceProd: awayFromZero,
};

export const reduceCases: readonly GradientCase[] = [
  ...Object.entries(draws).flatMap(([opType, draw]) => [
    reduce(opType, [1], 1, draw),
    reduce(opType, [-1], 0, draw),
    reduce(opType, [0, -1], 0, draw),
    reduce(opType, [2, 0], 1, draw),
    reduce(opType, null, 0, draw),
    reduce(opType, null, 1, draw),
    reduce(opType, [0], 0, draw, [4]),
  ]),
  ...[[0], [0, 3], [0, 3, 7]].map(
    (zeros): GradientCase => ({
      title: `ReduceProd of rows with ${zeros.length} element(s) of zero`,
      inputs: { x: [[2, 4], (rng, n) => awayFromZero(rng, n).map((v, i) => (zeros.includes(i) ? 0 : v))] },
      build: (op, x) => op.apply('ReduceProd', [x!, op.i64([-1])]),
    }),
  ),
  {
    title: 'ReduceL2 has no slope at the origin',
    inputs: { x: [2, 3] },
    build: (op, x) => {
      const rows = op.concat([op.mulScalar(x!, 0), x!], 0);
      return op.apply('ReduceL2', [rows, op.i64([-1])], { keepdims: 0 });
    },
  },
  {
    title: 'a reduction over no axes is the identity when it says so',
    inputs: { x: [2, 3] },
    build: (op, x) => op.apply('ReduceSum', [x!, op.i64([])], { noop_with_empty_axes: 1 }),
  },
  {
    title: 'a reduction over an empty list of axes covers all of them otherwise',
    inputs: { x: [2, 3] },
    build: (op, x) => op.apply('ReduceMean', [x!, op.i64([])], { keepdims: 0 }),
  },
];
