import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { createBuilder } from '#models/ops/index.ts';
import { f32, fromNumbers } from '#models/tensor/tensor.ts';
import { describeGradients } from '#test/support/describe-gradients.ts';
import { quantizeCases } from './cases/quantize.ts';

describeGradients('quantize', quantizeCases);

describe('an activation that is quantised', () => {
  const gradientOf = (build: (op: GraphBuilder, x: Value) => Value) => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2, 3]);
    op.output(build(op, x), 'y');
    return gradientModel(op.toModel('quantised'), { inputDims: {}, wrt: ['x'] });
  };
  const named = (opType: string) =>
    expect.objectContaining({ code: 'grad/no-rule', message: expect.stringContaining(`No gradient for ${opType} `) });

  test('is refused by name, instead of losing its gradient in silence', () => {
    expect(() =>
      gradientOf((op, x) => {
        const q = op.apply('QuantizeLinear', [x, op.scalar(0.1), op.scalar(3, 'int8')]);
        return op.apply('DequantizeLinear', [op.reshape(q, [3, 2]), op.scalar(0.1), op.scalar(3, 'int8')]);
      }),
    ).toThrow(named('QuantizeLinear'));
  });

  test('is refused in integer arithmetic too', () => {
    expect(() =>
      gradientOf((op, x) => {
        const [q, scale, zero] = op.applyMany('DynamicQuantizeLinear', [x], {}, 3) as [Value, Value, Value];
        const w = op.constant(fromNumbers('int8', [3, 1], [1, -2, 3]));
        const sums = op.apply('MatMulInteger', [q, w, zero]);
        return op.mul(op.cast(sums, 'float32'), scale);
      }),
    ).toThrow(named('MatMulInteger'));
  });

  test('does not matter to weights behind it', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2, 3]);
    const w = op.initializer('w', f32([3, 1], [1, 2, 3]));
    const q = op.apply('QuantizeLinear', [x, op.scalar(0.1)]);
    op.output(op.matmul(op.apply('DequantizeLinear', [q, op.scalar(0.1)]), w), 'y');
    expect(gradientModel(op.toModel('behind'), { inputDims: {}, wrt: ['w'] }).noPath).toEqual([]);
  });
});
