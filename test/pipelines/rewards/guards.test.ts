import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { guarded } from '#pipelines/rewards/guarded.ts';
import { capped, deltas } from '#pipelines/rewards/guards.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';

const items = (...list: string[]): RewardItem[] => list.map((sequence) => ({ kind: 'sequence', sequence }));
const reward = (score: (letters: string[]) => Promise<Float32Array>, higherIsBetter = true): Reward => ({
  name: 'faulty',
  higherIsBetter,
  score: (list) => score(list.map((item) => (item as { sequence: string }).sequence)),
  close: async () => {},
});
const lengths = (higherIsBetter = true) =>
  reward(async (list) => Float32Array.from(list, (s) => s.length), higherIsBetter);

describe('whatever a reward does wrong', () => {
  test.each([
    ['too few scores', async () => new Float32Array(1), 'reward/count'],
    ['no scores', async () => undefined as unknown as Float32Array, 'reward/count'],
    ['a plain list', async () => [1, 2] as unknown as Float32Array, 'reward/count'],
    ['a score that is no number', async () => Float32Array.of(1, Number.NaN), 'reward/not-finite'],
    ['an error of its own', async () => Promise.reject(new TypeError('cannot read x')), 'reward/failed'],
    ['never an answer', () => new Promise<Float32Array>(() => {}), 'reward/timeout'],
  ])('%s is an error by name', async (_, score, code) => {
    await expect(guarded(reward(score), { timeoutMs: 50 }).score(items('A', 'C'))).rejects.toMatchObject({
      name: 'NorthlightError',
      code,
      message: expect.stringContaining('"faulty"'),
    });
  });

  test('an error with a name keeps it', async () => {
    const named = new NorthlightError('reward/letter', 'Item 0: "X"');
    await expect(guarded(reward(() => Promise.reject(named))).score(items('X'))).rejects.toBe(named);
  });
});

describe('item by item', () => {
  test('the good ones are scored and the bad ones reported', async () => {
    const faulty = reward(async (list) => {
      if (list.includes('BAD')) throw new Error('no table for BAD');
      return Float32Array.from(list, (s) => s.length);
    });
    const { scores, failures } = await guarded(faulty).scoreEach(items('A', 'BAD', 'ACG'));
    expect(Array.from(scores)).toEqual([1, Number.NaN, 3]);
    expect(failures.map(({ index, error }) => [index, error.code])).toEqual([[1, 'reward/failed']]);
  });

  test('a reward that hangs is given up after three time-outs', async () => {
    let calls = 0;
    const hanging = reward(() => new Promise(() => calls++));
    const { scores, failures } = await guarded(hanging, { timeoutMs: 20 }).scoreEach(items('A', 'C', 'G', 'T', 'AC'));
    expect(calls).toBe(1 + 3);
    expect(scores.every(Number.isNaN)).toBe(true);
    expect(failures.map(({ error }) => error.code)).toEqual(Array(5).fill('reward/timeout'));
  });
});

describe('a cap', () => {
  test('gives no more credit above it, and the distance below it', async () => {
    const scores = await capped(lengths(), { cap: 3 }).score(items('A', 'AC', 'ACG', 'ACGT', 'ACGTA'));
    expect(Array.from(scores)).toEqual([-2, -1, 0, 0, 0]);
  });

  test('of what is better when lower is a floor', async () => {
    const floored = capped(lengths(false), { cap: 2 });
    expect(floored.higherIsBetter).toBe(true);
    expect(Array.from(await floored.score(items('A', 'AC', 'ACG')), (v) => v + 0)).toEqual([0, 0, -1]);
  });

  test('that is soft keeps the order, and is the hard one far from it', async () => {
    const soft = capped(lengths(), { cap: 3, softness: 0.25 });
    const scores = Array.from(await soft.score(items('A', 'AC', 'ACG', 'ACGT')));
    expect(scores).toEqual([...scores].sort((a, b) => a - b));
    expect(new Set(scores).size).toBe(4);
    expect(scores[0]).toBeCloseTo(-2, 3);
    expect(scores[2]).toBeCloseTo(-0.25 * Math.LN2, 6);
    expect((await soft.score(items('A'.repeat(4000))))[0]).toBeCloseTo(0, 6);
  });
});

describe('differences of a process', () => {
  const values = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1, maxLength: 12 });
  prop.prop([values])('sum from any step on to the value of that step', (list) => {
    const steps = deltas(list);
    for (const [k, value] of list.entries()) {
      expect(steps.slice(k).reduce((sum, r) => sum + r, 0)).toBeCloseTo(value, 9);
    }
  });

  prop.prop([values, fc.nat(11)])('gain nothing by repeating a step, where a sum does', (list, at) => {
    const k = at % list.length;
    const repeated = [...list.slice(0, k + 1), list[k]!, ...list.slice(k + 1)];
    const total = (steps: Float64Array) => steps.reduce((sum, r) => sum + r, 0);
    expect(total(deltas(repeated))).toBeCloseTo(total(deltas(list)), 9);
  });
});
