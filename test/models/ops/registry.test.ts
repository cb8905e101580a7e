import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import type { OpDefinition } from '#models/ops/define.ts';
import { createBuilder, operatorKey, operators } from '#models/ops/index.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { checkGradient, exercisedBy, type GradientCase } from '#test/support/check-gradient.ts';
import { gradientCases } from './cases/index.ts';

type Mutable = { -readonly [K in keyof OpDefinition]: OpDefinition[K] };

describe('the registry of operators', () => {
  test('every gradient rule and every decomposition is exercised by a check', () => {
    const used = exercisedBy(Object.values(gradientCases).flat());
    const untested = [...operators.values()]
      .filter((d) => typeof d.grad === 'function' || d.decompose)
      .filter((d) => !used.get(d))
      .map((d) => d.opType);
    expect(untested).toEqual([]);
  });

  test('an operator is listed once, under its own name', () => {
    for (const [key, d] of operators) expect(key).toBe(operatorKey(d.domain ?? '', d.opType));
  });

  test('a case has a title of its own, which seeds its data', () => {
    const titles = Object.values(gradientCases)
      .flat()
      .map((c) => c.title);
    expect(titles.filter((t, i) => titles.indexOf(t) !== i)).toEqual([]);
  });
});

describe('the comparison with differences', () => {
  const exp: GradientCase = { title: 'exp', inputs: { x: [2, 3] }, build: (op, x) => op.exp(x!) };
  const conv: GradientCase = {
    title: 'conv',
    inputs: { x: [1, 2, 4, 4], w: [3, 2, 3, 3] },
    linear: true,
    build: (op, x, w) => op.conv(x!, w!, null),
  };
  const broken = async (opType: string, change: Partial<OpDefinition>, c: GradientCase) => {
    const definition = operators.get(opType)! as Mutable;
    const before = { ...definition };
    Object.assign(definition, change);
    try {
      return (await checkGradient(c)).wrong.join('\n');
    } finally {
      Object.assign(definition, before);
    }
  };

  test('sees an error of a hundred-thousandth in a rule that runs in float64', async () => {
    expect((await checkGradient(exp)).precision).toBe('float64');
    expect(await broken('Exp', { grad: ({ op, dy, y }) => [op.mulScalar(op.mul(dy, y), 1.00001)] }, exp)).toMatch(
      /seed 1.*"x" along direction \d: rule/,
    );
  });

  test('sees an error of a thousandth in a linear rule that runs in float32', async () => {
    expect((await checkGradient(conv)).precision).toBe('float32');
    const { grad } = operators.get('Conv')!;
    if (typeof grad !== 'function') throw new Error('Conv lost its rule');
    const scaled = { grad: (c: Parameters<typeof grad>[0]) => grad(c).map((g) => g && c.op.mulScalar(g, 1.001)) };
    expect(await broken('Conv', scaled, conv)).toMatch(/"w" along direction/);
  });

  test('sees a gradient that is missing', async () => {
    expect(await broken('Exp', { grad: () => [null] }, exp)).toMatch(/no gradient reaches "x"/);
  });

  test('sees a shape rule that is wrong', async () => {
    const infer = () => [{ dtype: 'float32' as const, dims: [3, 2] }];
    await expect(broken('Exp', { infer }, { ...exp, float32: true })).rejects.toThrow();
  });
});

test('a rule makes no more than is wanted: a frozen kernel costs no matrix product', () => {
  const op = createBuilder();
  const x = op.input('x', 'float32', [1, 2, 4, 4]);
  const w = op.initializer('w', f32([3, 2, 3, 3], new Float32Array(54)));
  op.output(op.conv(x, w, null), 'y');
  const types = (wrt: string[]) =>
    gradientModel(op.toModel('frozen'), { inputDims: {}, wrt }).model.graph.nodes.map((n) => n.opType);
  const products = (wrt: string[]) => types(wrt).filter((t) => t === 'Gemm' || t === 'MatMul').length;
  expect(products(['x'])).toBe(0);
  expect(products(['w'])).toBeGreaterThan(0);
});
