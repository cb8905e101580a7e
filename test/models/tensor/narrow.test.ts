import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { parseModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { decodeNarrow, encodeNarrow, type NarrowFloat } from '#models/tensor/narrow.ts';
import { type DType, f32, fromBytes, fromNumbers, toBytes, toNumbers } from '#models/tensor/tensor.ts';

const EIGHT_BITS = ['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz'] as const;
const every = (n: number) => Uint8Array.from({ length: n }, (_, i) => i);

/** What the runtime makes of a weight of that type, cast to float32. */
async function widened(dtype: DType, dims: readonly number[], bytes: Uint8Array): Promise<number[]> {
  const op = createBuilder();
  const w = op.initializer('w', fromBytes(dtype, dims, bytes));
  op.output(op.apply('Cast', [w], { to: DATA_TYPE.float32 }), 'y');
  const model = parseModel(encodeModel(op.toModel('cast')), 'memory');
  const session = await createSession(encodeModel(model), { threads: 1 });
  const { y } = await session.run({});
  await session.release();
  return toNumbers(y!);
}

describe('types of 8 bits and fewer', () => {
  test.each(EIGHT_BITS)('each of the 256 patterns of %s is the number that the runtime takes it for', async (dtype) => {
    expect(toNumbers(fromBytes(dtype, [256], every(256)))).toEqual(await widened(dtype, [256], every(256)));
  });

  test.each(['int4', 'uint4'] as const)(
    '%s is packed as the runtime unpacks it, also an odd number of them',
    async (dtype) => {
      expect(toNumbers(fromBytes(dtype, [512], every(256)))).toEqual(await widened(dtype, [512], every(256)));
      const odd = Uint8Array.of(0x8f, 0x07);
      expect(toNumbers(fromBytes(dtype, [3], odd))).toEqual(await widened(dtype, [3], odd));
      expect(toBytes(fromBytes(dtype, [3], odd))).toEqual(odd);
    },
  );

  test('the largest and smallest numbers are those of the specification', () => {
    const largest = (dtype: NarrowFloat, n = 256) =>
      Math.max(...Array.from({ length: n }, (_, p) => decodeNarrow(dtype, p)).filter(Number.isFinite));
    expect(EIGHT_BITS.map((d) => largest(d))).toEqual([448, 240, 57344, 57344]);
    expect(EIGHT_BITS.map((d) => decodeNarrow(d, 1))).toEqual([2 ** -9, 2 ** -10, 2 ** -16, 2 ** -17]);
    expect(Array.from({ length: 8 }, (_, p) => decodeNarrow('float4e2m1', p))).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6]);
    expect([0, 127, 254].map((p) => decodeNarrow('float8e8m0', p))).toEqual([2 ** -127, 1, 2 ** 127]);
  });

  test('a number comes back as its pattern, and others as the nearest, even ones on ties', () => {
    for (const d of EIGHT_BITS)
      for (let p = 0; p < 256; p++) {
        const v = decodeNarrow(d, p);
        if (!Number.isNaN(v)) expect(encodeNarrow(d, v)).toBe(p);
      }
    // Between 1 and 1.125, and between 1.125 and 1.25.
    expect([1.0625, 1.1875].map((v) => decodeNarrow('float8e4m3fn', encodeNarrow('float8e4m3fn', v)))).toEqual([
      1, 1.25,
    ]);
  });
});

describe('in a training graph', () => {
  /** y = x·dequantised(w), and the gradient of x for dy = 1: the sum of each row of the dequantised weight. */
  async function rowSums(dtype: DType, zero: boolean) {
    const op = createBuilder();
    const x = op.input('x', 'float32', [1, 3]);
    const w = fromNumbers(dtype, [3, 2], [1, 2, 3, 4, 6, 0]);
    const scale = op.constant(f32([], [0.5]));
    const inputs = zero
      ? [op.initializer('w', w), scale, op.constant(fromNumbers(dtype, [], [2]))]
      : [op.initializer('w', w), scale];
    op.output(op.matmul(x, op.apply('DequantizeLinear', inputs)), 'y');
    const built = gradientModel(op.toModel('few bits'), { inputDims: {}, wrt: ['x'] });
    const session = await createSession(encodeModel(built.model), { threads: 1, training: true });
    const feeds = Object.fromEntries(
      built.model.graph.inputs.map((i) => [i.name, f32(i.dims as number[], i.name === 'x' ? [1, 1, 1] : [1, 1])]),
    );
    const results = await session.run(feeds);
    await session.release();
    const of3 = Object.values(results).find((t) => t.dims.at(-1) === 3);
    return toNumbers(of3!);
  }

  test.each(['int4', 'uint4', 'float8e4m3fn', 'float8e5m2'] as const)(
    'a frozen weight of %s that is dequantised passes gradients to the activations',
    async (dtype) => {
      expect(await rowSums(dtype, false)).toEqual([1.5, 3.5, 3]);
      if (dtype.includes('int')) expect(await rowSums(dtype, true)).toEqual([-0.5, 1.5, 1]);
    },
  );

  test('an activation that is rounded to 8 bits is refused by name', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [3]);
    const narrow = op.apply('Cast', [x], { to: DATA_TYPE.float8e4m3fn }, 'round');
    op.output(op.apply('Cast', [narrow], { to: DATA_TYPE.float32 }), 'y');
    expect(() => gradientModel(op.toModel('rounded'), { inputDims: {}, wrt: ['x'] })).toThrow(
      expect.objectContaining({
        code: 'grad/no-rule',
        message: expect.stringMatching(/Cast to float8e4m3fn at node ".*round/),
      }),
    );
  });
});
