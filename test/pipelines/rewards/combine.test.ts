import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  COMBINATIONS,
  combineRewards,
  combineScores,
  krc,
  quantile,
  statisticsOf,
} from '#pipelines/rewards/combine.ts';
import { createCombinedReward } from '#pipelines/rewards/index.ts';
import { formatRewardSpec, parseRewardSpec } from '#pipelines/rewards/spec.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';

const sequences = (...list: string[]): RewardItem[] => list.map((sequence) => ({ kind: 'sequence', sequence }));
/** Scores by the item's place in a table, read from its letters. */
const table = (name: string, values: readonly number[], higherIsBetter = true): Reward => ({
  name,
  higherIsBetter,
  score: async (items) => Float32Array.from(items, (item) => values[(item as { sequence: string }).sequence.length]!),
  close: async () => {},
});
const combine = (name: (typeof COMBINATIONS)[number], columns: number[][], weights = columns.map(() => 1)) =>
  Array.from(combineScores(name, columns, weights, columns.map(statisticsOf)));
const numbers = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 4, maxLength: 12 });

describe('a specification', () => {
  test('ends with a weight after the last @, also after paths that hold one', () => {
    expect(parseRewardSpec('gc')).toEqual({ spec: 'gc', weight: 1 });
    expect(parseRewardSpec('motif:TATA,count=true@-0.5')).toEqual({ spec: 'motif:TATA,count=true', weight: -0.5 });
    expect(parseRewardSpec('onnx:me@home/x.onnx@2e-1')).toEqual({ spec: 'onnx:me@home/x.onnx', weight: 0.2 });
    expect(parseRewardSpec('onnx:me@home/x.onnx')).toEqual({ spec: 'onnx:me@home/x.onnx', weight: 1 });
  });

  prop.prop([fc.constantFrom('gc', 'a@2', 'onnx:me@home/x.onnx', 'expr:gc - 1e-3'), fc.constantFrom(1, -1, 0.5, 1e-7)])(
    'of a reward is written so that it is read again, whatever the reward ends with',
    (spec, weight) => {
      expect(parseRewardSpec(formatRewardSpec({ spec, weight }))).toEqual({ spec, weight });
    },
  );
});

describe('a weighted sum of standardised scores', () => {
  test('is not ruled by the reward with the larger scale', () => {
    // Raw sums rank the third item first; standardised, the gain in the small reward counts as much.
    const large = [0, 1000, 1100];
    const small = [0, 1, 0.1];
    const [, b, c] = combine('sum', [large, small]);
    expect(large[2]! + small[2]!).toBeGreaterThan(large[1]! + small[1]!);
    expect(b!).toBeGreaterThan(c!);
  });

  prop.prop([numbers, fc.double({ min: 0.1, max: 50, noNaN: true }), fc.double({ min: -50, max: 50, noNaN: true })])(
    'does not change when one reward is scaled and shifted',
    (values, scale, shift) => {
      fc.pre(statisticsOf(values).std > 0.5);
      const other = values.map((v, i) => Math.sin(v + i));
      const before = combine('sum', [values, other], [2, 1]);
      const after = combine('sum', [values.map((v) => v * scale + shift), other], [2, 1]);
      for (const [i, v] of before.entries()) expect(after[i]).toBeCloseTo(v, 3);
    },
  );

  test('has the weights as shares: mean 0, and deviation 1 of equal columns', () => {
    const z = combine('sum', [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    expect(z.reduce((a, b) => a + b)).toBeCloseTo(0, 5);
    expect(statisticsOf(z).std).toBeCloseTo(1, 4);
    expect(combine('sum', [[1, 2, 3]], [-3])[0]).toBeCloseTo(Math.sqrt(1.5), 4);
  });
});

describe('all must be good', () => {
  test('is the signed geometric mean of the paper', () => {
    expect(krc([0.25, 1])).toBeCloseTo(0.5, 12);
    expect(krc([-0.25, -1])).toBeCloseTo(-0.5, 12);
    expect(krc([-0.25, 1])).toBeCloseTo(-0.5, 12);
    expect(krc([0, 1])).toBe(0);
    expect(krc([0.25, 1], [1, 3])).toBeCloseTo(0.25 ** 0.25, 12);
  });

  test('prefers the middling in everything to the best in one and worst in another', () => {
    const [both, one] = combine('krc', [
      [3, 5, 1, 2, 4],
      [3, 1, 5, 4, 2],
    ]);
    expect(both!).toBeGreaterThan(one!);
  });

  const whole = fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 4, maxLength: 12 });
  prop.prop([whole])('reads only order: a monotone change of a reward changes nothing', (values) => {
    const other = values.map((_, i) => (i * 7) % 5);
    expect(combine('krc', [values.map((v) => Math.atan(v)), other])).toEqual(combine('krc', [values, other]));
  });

  prop.prop([numbers])('quantiles lie in 0…1 and average a half', (values) => {
    const s = statisticsOf(values);
    const qs = values.map((v) => quantile(v, s));
    expect(qs.every((q) => q > 0 && q < 1)).toBe(true);
    expect(qs.reduce((a, b) => a + b) / qs.length).toBeCloseTo(0.5, 9);
  });
});

test('the worst-of is the lowest standardised score', () => {
  const a = [0, 1, 2];
  const b = [2, 0, 1];
  const z = (v: number) => (v - 1) / Math.sqrt(2 / 3);
  for (const [i, v] of combine('worst', [a, b]).entries()) expect(v).toBeCloseTo(z(Math.min(a[i]!, b[i]!)), 4);
  // Turned around by its weight, b is best where it is lowest.
  expect(combine('worst', [a, b], [1, -1]).indexOf(Math.max(...combine('worst', [a, b], [1, -1])))).toBe(1);
});

describe('lexicographic order', () => {
  test('lets the second reward decide only among items that the first holds equal', () => {
    const first = [0, 0, 10, 10];
    const second = [9, 1, 2, 7];
    const scores = combine('lexicographic', [first, second]);
    const order = [0, 1, 2, 3].sort((i, j) => scores[j]! - scores[i]!);
    expect(order).toEqual([3, 2, 0, 1]);
  });

  prop.prop([numbers])('does not change when a reward is scaled by 1024', (values) => {
    fc.pre(statisticsOf(values).std > 1);
    const other = values.map((_, i) => (i * 7) % 5);
    const before = combine('lexicographic', [values, other]);
    const after = combine('lexicographic', [values.map((v) => v * 1024), other]);
    const order = (list: number[]) => list.map((_, i) => i).sort((i, j) => list[j]! - list[i]! || i - j);
    expect(order(after)[0]).toBe(order(before)[0]);
  });

  test('takes five rewards at most', () => {
    const six = Array.from({ length: 6 }, (_, i) => ({ reward: table(`r${i}`, [1]), weight: 1 }));
    expect(() => combineRewards(six, 'lexicographic')).toThrow(/at most 5/);
  });
});

describe('combined rewards', () => {
  test.each(COMBINATIONS)('by %s turn around what is better when lower', async (combination) => {
    const parts = [
      { reward: table('up', [0, 1, 2, 3]), weight: 1 },
      { reward: table('down', [3, 2, 1, 0], false), weight: 1 },
    ];
    const scores = await combineRewards(parts, combination).score(sequences('', 'A', 'AA', 'AAA'));
    expect(Array.from(scores)).toEqual([...scores].sort((a, b) => a - b));
    expect(scores[0]).toBeLessThan(scores[3]!);
  });

  test('compare with the items they were calibrated on: the same alone as in a batch', async () => {
    const reward = await createCombinedReward(['gc', 'homopolymer@0.5'], { combine: 'sum' });
    reward.calibrate((await reward.scoreParts(sequences('ACGT', 'GGGG', 'AATT', 'ATCG', 'CCAT'))).map(statisticsOf));
    const items = sequences('GCGC', 'AAAA', 'ACCA');
    const together = await reward.score(items);
    for (const [i, item] of items.entries()) expect((await reward.score([item]))[0]).toBe(together[i]);
    expect(together[0]!).toBeGreaterThan(together[1]!);
    expect(reward.name).toBe('gc + homopolymer@0.5');
  });

  test('without calibration compare with all items so far', async () => {
    const reward = await createCombinedReward(['gc', 'cpg']);
    const first = await reward.score(sequences('ACGT', 'GGCC'));
    const again = await reward.score(sequences('ACGT', 'AAAA'));
    expect(first[0]).not.toBe(again[0]);
  });

  test('of one reward are that reward, weighted and not standardised', async () => {
    expect(Array.from(await (await createCombinedReward(['gc@-2'])).score(sequences('GC', 'AC')))).toEqual([-2, -1]);
    // Lower is better, so that higher is minus the run.
    expect(Array.from(await (await createCombinedReward(['homopolymer'])).score(sequences('GGG')))).toEqual([-3]);
  });

  test('are refused without parts, with a weight of 0, and of pictures with sequences; what was opened is closed', async () => {
    await expect(createCombinedReward([])).rejects.toMatchObject({ code: 'reward/combine' });
    await expect(createCombinedReward(['gc', 'cpg@0'])).rejects.toThrow(/weight of "cpg" is 0/);
    await expect(createCombinedReward(['gc', 'brightness'])).rejects.toThrow(
      /some score pictures and others sequences/,
    );
  });
});
