import { describe, expect, test } from 'vitest';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { type Attribute, float, floats, type Initializer, int, ints, str } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, f32, i64, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { buildModel } from '#test/support/build-model.ts';

interface Old {
  readonly op: string;
  readonly opset: number;
  readonly x: readonly number[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Further inputs, as weights. */
  readonly weights?: readonly (Initializer | null)[];
  readonly outputs?: number;
  /** Of the outputs; default: float32. */
  readonly types?: readonly DType[];
}

const random = (dims: readonly number[], label: string): Tensor =>
  f32(dims, new Rng(7).fork(label).fillNormal(new Float32Array(numel(dims))));

const reductions = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2'];
const moreReductions = ['ReduceSumSquare', 'ReduceLogSumExp'];

const cases: readonly Old[] = [
  { op: 'Squeeze', opset: 11, x: [1, 3, 1, 2], attributes: { axes: ints([0, -2]) } },
  { op: 'Squeeze', opset: 11, x: [1, 3, 1, 2] },
  { op: 'Unsqueeze', opset: 11, x: [3, 2], attributes: { axes: ints([0, -1]) } },
  ...[...reductions, ...moreReductions].flatMap((op): Old[] => [
    { op, opset: 11, x: [2, 3, 4], attributes: { axes: ints([1, -1]), keepdims: int(0) } },
    { op, opset: 11, x: [2, 3, 4], attributes: { axes: ints([0]) } },
    { op, opset: 11, x: [2, 3, 4] },
  ]),
  ...[...reductions.slice(1), ...moreReductions].map(
    (op): Old => ({ op, opset: 17, x: [2, 3, 4], attributes: { axes: ints([-2]), keepdims: int(1) } }),
  ),
  { op: 'ReduceSum', opset: 13, x: [2, 3, 4], weights: [i64([1], [1])], attributes: { keepdims: int(0) } },
  { op: 'Split', opset: 11, x: [2, 7], attributes: { axis: int(1), split: ints([1, 4, 2]) }, outputs: 3 },
  { op: 'Split', opset: 11, x: [6, 2], outputs: 3 },
  { op: 'Split', opset: 13, x: [2, 6], attributes: { axis: int(-1) }, outputs: 2 },
  { op: 'Split', opset: 17, x: [2, 7], attributes: { axis: int(-1) }, weights: [i64([2], [3, 4])], outputs: 2 },
  { op: 'Slice', opset: 9, x: [5, 6], attributes: { starts: ints([1]), ends: ints([-1]), axes: ints([1]) } },
  { op: 'Slice', opset: 9, x: [5, 6], attributes: { starts: ints([1, -4]), ends: ints([4, 1000]) } },
  { op: 'Slice', opset: 10, x: [5, 6], weights: [i64([1], [4]), i64([1], [0]), i64([1], [0]), i64([1], [-2])] },
  { op: 'Pad', opset: 10, x: [2, 3], attributes: { pads: ints([1, 0, 2, 1]), value: float(0.5) } },
  { op: 'Pad', opset: 9, x: [2, 3], attributes: { pads: ints([0, 2, 0, 1]) } },
  { op: 'Pad', opset: 9, x: [3, 4], attributes: { pads: ints([1, 2, 0, 1]), mode: str('reflect') } },
  { op: 'Pad', opset: 11, x: [2, 3], weights: [i64([4], [0, 1, 1, 0]), f32([], [2])] },
  { op: 'Clip', opset: 10, x: [3, 4], attributes: { min: float(-0.5), max: float(0.25) } },
  { op: 'Clip', opset: 7, x: [3, 4], attributes: { max: float(0.25) } },
  { op: 'Clip', opset: 11, x: [3, 4], weights: [null, f32([], [0.1])] },
  ...['Softmax', 'LogSoftmax', 'Hardmax'].flatMap((op): Old[] => [
    { op, opset: 11, x: [2, 3, 4] },
    { op, opset: 11, x: [2, 3, 4], attributes: { axis: int(0) } },
    { op, opset: 11, x: [2, 3, 4], attributes: { axis: int(-2) } },
    { op, opset: 11, x: [2, 3, 4], attributes: { axis: int(2) } },
    { op, opset: 12, x: [2, 3, 4], attributes: { axis: int(-1) } },
    { op, opset: 13, x: [2, 3, 4], attributes: { axis: int(1) } },
  ]),
  ...['nearest', 'linear'].flatMap((mode): Old[] => [
    {
      op: 'Upsample',
      opset: 7,
      x: [1, 2, 3, 4],
      attributes: { mode: str(mode), scales: floats([1, 1, 2, 3]) },
    },
    { op: 'Upsample', opset: 9, x: [1, 2, 3, 4], attributes: { mode: str(mode) }, weights: [f32([4], [1, 1, 2, 1.5])] },
    { op: 'Resize', opset: 10, x: [1, 2, 3, 4], attributes: { mode: str(mode) }, weights: [f32([4], [1, 1, 2, 2])] },
    {
      op: 'Resize',
      opset: 10,
      x: [1, 2, 6, 5],
      attributes: { mode: str(mode) },
      weights: [f32([4], [1, 1, 0.5, 0.6])],
    },
    {
      op: 'Resize',
      opset: 11,
      x: [1, 2, 3, 4],
      attributes: { mode: str(mode), coordinate_transformation_mode: str('align_corners') },
      weights: [f32([0], []), f32([4], [1, 1, 2, 2])],
    },
    {
      op: 'Resize',
      opset: 13,
      x: [1, 2, 3, 4],
      attributes: { mode: str(mode) },
      weights: [null, null, i64([4], [1, 2, 5, 3])],
    },
  ]),
  { op: 'TopK', opset: 9, x: [3, 5], attributes: { k: int(2), axis: int(1) }, outputs: 2, types: ['float32', 'int64'] },
  {
    op: 'TopK',
    opset: 10,
    x: [3, 5],
    attributes: { axis: int(0) },
    weights: [i64([1], [2])],
    outputs: 2,
    types: ['float32', 'int64'],
  },
  {
    op: 'Scatter',
    opset: 9,
    x: [3, 4],
    attributes: { axis: int(1) },
    weights: [i64([3, 2], [0, 3, 1, 2, 2, 0]), random([3, 2], 'updates')],
  },
  { op: 'DepthToSpace', opset: 7, x: [1, 8, 2, 3], attributes: { blocksize: int(2) } },
  ...['bilinear', 'nearest', 'bicubic'].map(
    (mode): Old => ({
      op: 'GridSample',
      opset: 16,
      x: [1, 2, 4, 5],
      attributes: { mode: str(mode), padding_mode: str('reflection') },
      weights: [random([1, 3, 3, 2], 'grid')],
    }),
  ),
  { op: 'GridSample', opset: 16, x: [1, 2, 4, 5], weights: [random([1, 3, 3, 2], 'grid')] },
  {
    op: 'Resize',
    opset: 11,
    x: [1, 2, 3, 4],
    attributes: { coordinate_transformation_mode: str('tf_half_pixel_for_nn'), nearest_mode: str('floor') },
    weights: [f32([0], []), f32([4], [1, 1, 2, 0.5])],
  },
  { op: 'MeanVarianceNormalization', opset: 9, x: [2, 3, 4, 2], attributes: { axes: ints([0, 2, 3]) } },
  {
    op: 'AveragePool',
    opset: 10,
    x: [1, 2, 5, 6],
    attributes: { kernel_shape: ints([2, 2]), ceil_mode: int(1), strides: ints([2, 2]) },
  },
  {
    op: 'AveragePool',
    opset: 7,
    x: [1, 2, 5, 6],
    attributes: { kernel_shape: ints([3, 2]), pads: ints([1, 0, 1, 1]) },
  },
  { op: 'MaxPool', opset: 8, x: [1, 2, 5, 6], attributes: { kernel_shape: ints([3, 2]), auto_pad: str('SAME_LOWER') } },
  { op: 'DFT', opset: 17, x: [2, 6, 3, 1], attributes: { axis: int(2) } },
  { op: 'DFT', opset: 17, x: [2, 6, 1], attributes: { onesided: int(1) } },
  { op: 'Swish', opset: 24, x: [2, 3], attributes: { alpha: float(1.5) } },
  { op: 'RMSNormalization', opset: 23, x: [2, 3, 4], weights: [random([4], 's')] },
  ...[23, 25].map(
    (opset): Old => ({
      op: 'TopK',
      opset,
      x: [3, 5],
      weights: [i64([1], [2])],
      outputs: 2,
      types: ['float32', 'int64'],
    }),
  ),
  { op: 'Pad', opset: 25, x: [3, 4], weights: [i64([4], [1, 2, 0, 1])], attributes: { mode: str('wrap') } },
  {
    op: 'Resize',
    opset: 26,
    x: [1, 2, 3, 4],
    attributes: { mode: str('cubic'), antialias: int(1), axes: ints([2, 3]) },
    weights: [null, null, i64([2], [2, 3])],
  },
  {
    op: 'Attention',
    opset: 24,
    x: [2, 2, 3, 4],
    weights: [random([2, 2, 5, 4], 'k'), random([2, 2, 5, 3], 'v'), null, null, null, i64([2], [4, 5])],
  },
  {
    op: 'Attention',
    opset: 23,
    x: [2, 2, 3, 4],
    weights: [random([2, 2, 5, 4], 'k'), random([2, 2, 5, 3], 'v'), random([2, 1, 3, 5], 'mask')],
    attributes: { is_causal: int(1) },
  },
  { op: 'PRelu', opset: 7, x: [2, 3, 4], weights: [random([3, 1], 'slope')] },
  { op: 'Dropout', opset: 7, x: [2, 3], attributes: { ratio: float(0.5) } },
  { op: 'Dropout', opset: 13, x: [2, 3], weights: [f32([], [0.5])] },
  ...[9, 13].map(
    (opset): Old => ({
      op: 'BatchNormalization',
      opset,
      x: [2, 3, 4, 4],
      weights: [random([3], 's'), random([3], 'b'), random([3], 'm'), f32([3], [0.5, 1, 2])],
      attributes: { epsilon: float(1e-3), momentum: float(0.8) },
    }),
  ),
  {
    op: 'GroupNormalization',
    opset: 18,
    x: [2, 4, 3, 2],
    weights: [random([2], 's'), random([2], 'b')],
    attributes: { num_groups: int(2), epsilon: float(1e-3) },
  },
  {
    op: 'GroupNormalization',
    opset: 21,
    x: [2, 4, 3, 2],
    weights: [random([4], 's'), random([4], 'b')],
    attributes: { num_groups: int(2), epsilon: float(1e-3) },
  },
];

describe('a node of an older opset', () => {
  for (const c of cases) {
    const attributes = Object.entries(c.attributes ?? {}).map(
      ([k, v]) => ` ${k} ${JSON.stringify('value' in v && v.value)}`,
    );
    test(`${c.op}-${c.opset}${attributes.join('')}${c.weights ? `, inputs ${c.weights.length}` : ''} of [${c.x}] computes the same once imported`, async () => {
      const weights = Object.fromEntries((c.weights ?? []).flatMap((w, i) => (w ? [[`w${i}`, w] as const] : [])));
      const outs = Array.from({ length: c.outputs ?? 1 }, (_, i) => `y${i}`);
      const model = buildModel({
        opset: c.opset,
        inputs: { x: c.x },
        weights,
        nodes: [
          {
            op: c.op,
            in: ['x', ...(c.weights ?? []).map((w, i) => (w ? `w${i}` : ''))],
            out: outs,
            ...(c.attributes ? { attributes: c.attributes } : {}),
          },
        ],
        outputs: Object.fromEntries(outs.map((name, i) => [name, c.types?.[i] ?? 'float32'])),
      });
      const op = createBuilder();
      const imported = importGraph(op, model, { inputs: {} });
      for (const [name, v] of imported.outputs) op.output(v, name);

      const x = random(c.x, 'x');
      const run = async (bytes: Uint8Array) => {
        const session = await createSession(bytes, { threads: 1 });
        const results = await session.run({ x });
        await session.release();
        return results;
      };
      const before = await run(encodeModel(model));
      const after = await run(encodeModel(op.toModel('imported')));
      for (const name of outs) {
        expect(imported.outputs.get(name)!.dims, 'inferred shape').toEqual([...before[name]!.dims]);
        expect([...after[name]!.dims]).toEqual([...before[name]!.dims]);
        const expected = toNumbers(before[name]!);
        toNumbers(after[name]!).forEach((v, i) => {
          expect(Math.abs(v - expected[i]!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(expected[i]!)));
        });
      }
    });
  }
});

test('a model older than opset 7 is refused with what to do', () => {
  const model = buildModel({
    opset: 6,
    inputs: { x: [2] },
    nodes: [{ op: 'Neg', in: ['x'], out: ['y'] }],
    outputs: { y: 'float32' },
  });
  expect(() => importGraph(createBuilder(), model, { inputs: {} })).toThrow(
    expect.objectContaining({ code: 'onnx/opset', message: expect.stringContaining('opset 6') }),
  );
});
