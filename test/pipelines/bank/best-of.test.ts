import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { bestOf, bestOfKl, bestOfWeights } from '#pipelines/bank/best-of.ts';

/** Every choice of n of the values. */
function* choices(values: readonly number[], n: number, from = 0): Generator<number[]> {
  if (n === 0) yield [];
  for (let i = from; n > 0 && i <= values.length - n; i++) {
    for (const rest of choices(values, n - 1, i + 1)) yield [values[i]!, ...rest];
  }
}

describe('the best of N', () => {
  test.prop([fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 8 }), fc.nat()])(
    'is the mean of the best over every choice of N samples',
    (values, seed) => {
      const n = 1 + (seed % values.length);
      const bests = [...choices(values, n)].map((chosen) => Math.max(...chosen));
      expect(bestOf([values], n)!.mean).toBeCloseTo(bests.reduce((a, b) => a + b) / bests.length, 9);
    },
  );

  test('grows with N up to the best sample, and of one is the mean', () => {
    const values = [3, 1, 4, 1, 5, 9, 2, 6];
    const means = values.map((_, i) => bestOf([values], i + 1)!.mean);
    expect(means[0]).toBeCloseTo(31 / 8, 12);
    expect(means.at(-1)).toBe(9);
    expect([...means].sort((a, b) => a - b)).toEqual(means);
    expect(bestOf([values], 9)).toBeNull();
  });

  test('of 1024 samples of a normal reward is the known order statistic', () => {
    // Mean of the largest of K standard normal draws: .564190, 1.029375, 1.423600, 1.765991 for 2, 4, 8, 16.
    const values = Array.from({ length: 1024 }, (_, i) => inverseNormal((i + 0.5) / 1024));
    const expected: [number, number][] = [
      [2, 0.56419],
      [4, 1.029375],
      [8, 1.4236],
      [16, 1.765991],
    ];
    for (const [n, mean] of expected) expect(Math.abs(bestOf([values], n)!.mean - mean)).toBeLessThan(0.01);
  });

  test('chances sum to one, and few samples that carry it are said', () => {
    for (const [m, n] of [
      [6, 1],
      [6, 4],
      [6, 6],
      [256, 37],
    ] as const) {
      expect(bestOfWeights(m, n).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    }
    const values = Array.from({ length: 256 }, (_, i) => i);
    expect(bestOf([values], 8)!.reliable).toBe(true);
    expect(bestOf([values], 64)!.reliable).toBe(false);
  });

  test('of several prompts is the mean of theirs', () => {
    expect(
      bestOf(
        [
          [0, 2],
          [10, 10, 40],
        ],
        2,
      )!.mean,
    ).toBeCloseTo((2 + (10 + 40 + 40) / 3) / 2, 12);
  });

  test('of four is .636294 nats away', () => {
    expect(bestOfKl(4)).toBeCloseTo(0.636294, 6);
    expect(bestOfKl(1)).toBe(0);
  });
});

/** By halving: the error function to 1e-7 (Abramowitz and Stegun 7.1.26). */
function inverseNormal(p: number): number {
  let [low, high] = [-6, 6];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (cdf(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

function cdf(x: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(x)) / Math.SQRT2);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - poly * Math.exp((-x * x) / 2);
  return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}
