import { describe, expect, test } from 'vitest';
import { GraphBuilder, WORKING_OPSET } from '#models/onnx/builder.ts';
import { checkModel } from '#models/onnx/check.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, f64, fromNumbers, i64, toNumbers } from '#models/tensor/tensor.ts';

describe('the graph builder', () => {
  test('an expression becomes a model that is valid and computes it', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2, 3]);
    const w = op.initializer('w', f32([3, 2], [1, 0, 0, 1, 1, 1]));
    op.output(op.addScalar(op.matmul(x, w), 0.5), 'y');
    const model = op.toModel('affine');
    checkModel(model);
    expect(model.opsets.get('')).toBe(WORKING_OPSET);
    const session = await createSession(encodeModel(model), { threads: 1 });
    const { y } = await session.run({ x: f32([2, 3], [1, 2, 3, 4, 5, 6]) });
    await session.release();
    expect(toNumbers(y!)).toEqual([4.5, 5.5, 10.5, 11.5]);
  });

  test('a wrong shape fails where it is written, naming both shapes', () => {
    const op = createBuilder();
    const a = op.input('a', 'float32', [2, 3]);
    const b = op.input('b', 'float32', [4, 5]);
    expect(() => op.matmul(a, b)).toThrow(/MatMul "MatMul": inner sizes of \[2, 3\] and \[4, 5\] differ/);
    expect(() => op.add2(a, b)).toThrow(/\[2, 3\] and \[4, 5\] do not broadcast/);
    expect(() => op.reshape(a, [4])).toThrow(/cannot make \[4\] of \[2, 3\]/);
    expect(op.nodes).toEqual([]);
  });

  test('names never collide, and scopes show where a node was made', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2]);
    const names = op.scope('block', () => op.scope('act', () => [op.exp(x).name, op.exp(x).name, op.exp(x).name]));
    expect(new Set(names).size).toBe(3);
    expect(names.every((n) => n.startsWith('block/act/Exp'))).toBe(true);
    expect(op.exp(x).name).toBe('Exp');
    expect(() => op.input('x', 'float32', [2])).toThrow(expect.objectContaining({ code: 'graph/duplicate' }));
  });

  test('a scope ends even when its body throws', () => {
    const op = createBuilder();
    expect(() =>
      op.scope('a', () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(op.path('x')).toBe('x');
  });

  test('equal small constants are stored once; those that differ in type, shape or the sign of zero are not', () => {
    const op = createBuilder();
    expect(op.scalar(1)).toBe(op.scalar(1));
    expect(op.i64([1, 2])).toBe(op.i64([1, 2]));
    const ones = [
      op.scalar(1),
      op.scalar(1, 'float64'),
      op.f32([1], [1]),
      op.f32([1, 1], [1]),
      op.i64([1]),
      op.constant(i64([], [1])),
      op.scalar(0),
      op.scalar(-0),
      op.constant(f64([], [2 ** -30])),
      op.constant(fromNumbers('float16', [], [1])),
    ];
    expect(new Set(ones.map((v) => v.name)).size).toBe(ones.length);
  });

  test('constants are known to rules; opaque weights and external ones are not', () => {
    const op = createBuilder();
    const k = op.i64([3, 4]);
    expect(toNumbers(op.constantOf(k.name)!)).toEqual([3, 4]);
    op.initializer('w', f32([1], [1]));
    op.opaque.add('w');
    op.initializer('far', { dtype: 'float32', dims: [1], external: { location: 'w.bin', offset: 0, length: 4 } });
    expect([op.constantOf('w'), op.constantOf('far'), op.constantOf('nothing')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('what changes nothing adds no node', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2, 3]);
    const same = [
      op.reshape(x, [2, 3]),
      op.transpose(x, [0, 1]),
      op.expand(x, [2, 3]),
      op.pad(x, [0, 0, 0, 0]),
      op.cast(x, 'float32'),
      op.mulScalar(x, 1),
      op.concat([x], 0),
    ];
    expect(same.every((v) => v === x)).toBe(true);
    expect(op.nodes).toEqual([]);
  });

  test('nodes and weights that no output needs are left out', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2]);
    op.mul(op.exp(x), op.initializer('unused', f32([2], [1, 2])));
    op.output(op.neg(x), 'y');
    const { graph } = op.toModel('small');
    expect(graph.nodes.map((n) => n.opType)).toEqual(['Neg', 'Identity']);
    expect([...graph.initializers.keys()]).toEqual([]);
  });

  test('an output may be a graph input, and the model is still valid', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2]);
    op.output(x, 'y');
    const model = op.toModel('copy');
    checkModel(model);
    const session = await createSession(encodeModel(model), { threads: 1 });
    expect(toNumbers((await session.run({ x: f32([2], [1, 2]) })).y!)).toEqual([1, 2]);
    await session.release();
  });

  test('free sizes get names, and the model then runs at more than one size', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [1, 3]);
    op.output(op.softmax(op.mulScalar(x, 2)), 'y');
    const model = op.toModel('batched', (v) => ['batch', ...v.dims.slice(1)]);
    expect(model.graph.inputs[0]!.dims).toEqual(['batch', 3]);
    const session = await createSession(encodeModel(model), { threads: 1 });
    const { y } = await session.run({ x: f32([4, 3], new Array(12).fill(1)) });
    await session.release();
    expect([...y!.dims]).toEqual([4, 3]);
  });

  test('a value that does not exist, or an output without a type, is a named error', () => {
    const op = new GraphBuilder(() => []);
    expect(() => op.value('ghost')).toThrow(expect.objectContaining({ code: 'graph/no-value' }));
    expect(() => op.apply('Anything', [])).toThrow(expect.objectContaining({ code: 'graph/outputs' }));
  });

  test('the numbers of data types are those of the ONNX schema', () => {
    // From onnx.proto, TensorProto.DataType.
    expect(DATA_TYPE).toMatchObject({
      float32: 1,
      uint8: 2,
      int64: 7,
      bool: 9,
      float16: 10,
      float64: 11,
      bfloat16: 16,
    });
  });
});
