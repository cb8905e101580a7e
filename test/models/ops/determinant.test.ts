import { expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { createBuilder } from '#models/ops/index.ts';
import { describeGradients } from '#test/support/describe-gradients.ts';
import { determinantCases } from './cases/determinant.ts';

describeGradients('determinants', determinantCases);

test('a determinant too large for all its minors is refused by name', () => {
  const op = createBuilder();
  const x = op.input('x', 'float32', [33, 33]);
  const value = op.apply('Det', [x]);
  expect(() => addGradients(op, [{ value, cotangent: op.scalar(1) }], [x])).toThrow(/Det.*33 × 33.*at most 32 × 32/);
});
