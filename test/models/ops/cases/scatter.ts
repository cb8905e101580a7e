import { i64 } from '#models/tensor/tensor.ts';
import { apart, awayFromZero, type Draw, type GradientCase, normal } from '#test/support/check-gradient.ts';

const draws: Readonly<Record<string, Draw>> = {
  none: normal,
  add: normal,
  mul: awayFromZero,
  max: apart,
  min: apart,
};

/** Updates that tie with nothing of `apart`. */
const between = (draw: Draw): Draw => (draw === apart ? (rng, n) => apart(rng, n).map((v) => v + 0.03) : draw);

const title = (name: string, reduction: string, note: string) =>
  `${name}${reduction === 'none' ? '' : ` with ${reduction}`}, ${note}`;

const elements = (
  reduction: string,
  note: string,
  data: readonly number[],
  axis: number,
  shape: readonly number[],
  indices: readonly number[],
): GradientCase => ({
  title: title('ScatterElements', reduction, note),
  inputs: { x: [data, draws[reduction]!], u: [shape, between(draws[reduction]!)] },
  build: (op, x, u) => op.apply('ScatterElements', [x!, op.constant(i64(shape, indices)), u!], { axis, reduction }),
});

const blocks = (
  reduction: string,
  note: string,
  data: readonly number[],
  shape: readonly number[],
  indices: readonly number[],
): GradientCase => {
  const updates = [...shape.slice(0, -1), ...data.slice(shape.at(-1)!)];
  return {
    title: title('ScatterND', reduction, note),
    inputs: { x: [data, draws[reduction]!], u: [updates, between(draws[reduction]!)] },
    build: (op, x, u) => op.apply('ScatterND', [x!, op.constant(i64(shape, indices)), u!], { reduction }),
  };
};

const gatherND = (data: readonly number[], shape: readonly number[], indices: readonly number[], batchDims = 0) => ({
  title: `GatherND of [${data}] at [${shape}] coordinates${batchDims ? `, ${batchDims} batch axes` : ''}`,
  inputs: { x: data },
  linear: true,
  build: ((op, x) =>
    op.apply('GatherND', [x!, op.constant(i64(shape, indices))], { batch_dims: batchDims })) as GradientCase['build'],
});

export const scatterCases: readonly GradientCase[] = [
  ...[
    { axis: 0, shape: [2, 3], indices: [0, 2, 1, 3, 0, -1] },
    { axis: -1, shape: [3, 2], indices: [0, 0, 2, -1, 1, 1] },
  ].map(
    ({ axis, shape, indices }): GradientCase => ({
      title: `GatherElements along axis ${axis}`,
      inputs: { x: [4, 3] },
      linear: true,
      build: (op, x) => op.apply('GatherElements', [x!, op.constant(i64(shape, indices))], { axis }),
    }),
  ),
  gatherND([3, 4], [2, 2], [0, 1, 2, -1]),
  gatherND([3, 4, 2], [3, 1], [2, 0, 2]),
  gatherND([2, 3, 4], [2, 2, 1], [0, 2, -1, -1], 1),
  gatherND([2, 2, 3], [2, 2, 2, 1], [0, 2, 1, 1, 2, 0, -1, 0], 2),
  elements('none', 'rows in places', [4, 3], 0, [2, 3], [0, 2, 1, 3, 0, -1]),
  elements('none', 'the last axis', [2, 5], -1, [2, 2], [4, 0, 1, -2]),
  ...['add', 'mul', 'max', 'min'].flatMap((reduction) => [
    elements(reduction, 'with places hit twice', [3, 4], 1, [3, 3], [0, 0, 2, 3, 1, 3, 2, -1, 0]),
    blocks(reduction, 'with blocks hit twice', [4, 2], [3, 1], [1, 3, 1]),
  ]),
  blocks('none', 'single elements', [3, 4], [2, 2], [0, 1, 2, -1]),
  blocks('none', 'blocks', [4, 2, 3], [2, 1], [3, 0]),
  {
    title: 'ScatterElements with mul, with zeros in data and updates',
    inputs: {
      x: [[5], () => [0, 2, 0, 3, 1]],
      u: [[6], () => [4, 0, 0, 5, 2, 0]],
    },
    build: (op, x, u) =>
      op.apply('ScatterElements', [x!, op.i64([0, 1, 2, 3, 3, 4]), u!], { axis: 0, reduction: 'mul' }),
  },
];
