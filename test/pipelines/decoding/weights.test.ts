import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { ssp, systematic } from '#pipelines/decoding/resample.ts';
import { argmax, categorical, effectiveSampleSize, logMeanExp, logSumExp } from '#pipelines/decoding/weights.ts';

const logWeights = fc
  .array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 12 })
  .map((xs) => Float64Array.from(xs));
const shares = (w: Float64Array) => {
  const total = w.reduce((sum, x) => sum + Math.exp(x), 0);
  return Array.from(w, (x) => (w.length * Math.exp(x)) / total);
};
const countsOf = (ancestors: Int32Array, n: number) => {
  const counts = new Array<number>(n).fill(0);
  for (const a of ancestors) counts[a]!++;
  return counts;
};

describe('sums of exponentials', () => {
  test('neither overflow nor vanish', () => {
    expect(logSumExp([1e4, 1e4])).toBeCloseTo(1e4 + Math.log(2), 9);
    expect(logSumExp([-1e4, -1e4 + 1])).toBeCloseTo(-1e4 + Math.log(1 + Math.E), 9);
    expect(logMeanExp([0, Math.log(3)])).toBeCloseTo(Math.log(2), 12);
    expect(logSumExp([])).toBe(Number.NEGATIVE_INFINITY);
  });

  prop.prop([logWeights, fc.double({ min: -1e3, max: 1e3, noNaN: true })])('move with a constant', (w, c) => {
    expect(logSumExp(w.map((x) => x + c))).toBeCloseTo(logSumExp(w) + c, 8);
    expect(effectiveSampleSize(w.map((x) => x + c))).toBeCloseTo(effectiveSampleSize(w), 6);
  });

  prop.prop([logWeights])('effective sample size lies between 1 and n', (w) => {
    expect(effectiveSampleSize(w)).toBeGreaterThanOrEqual(1 - 1e-9);
    expect(effectiveSampleSize(w)).toBeLessThanOrEqual(w.length + 1e-9);
  });
});

describe('a categorical draw', () => {
  test('has the probabilities of its logits, 10⁴ apart or not', () => {
    const logits = [0.5, 0.3, 0.2].map(Math.log);
    const counts = [0, 0, 0];
    const n = 50_000;
    for (let i = 0; i < n; i++) counts[categorical(logits, new Rng(1).fork(i))]!++;
    [0.5, 0.3, 0.2].forEach((p, k) => {
      expect(Math.abs(counts[k]! / n - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / n));
    });
    expect(categorical([0, 1e4, 3], new Rng(2))).toBe(1);
  });

  test('by argmax takes the first of a tie', () => {
    expect(argmax([1, 3, 3, 2])).toBe(1);
  });
});

describe.each([
  ['systematic', systematic],
  ['ssp', ssp],
] as const)('%s resampling', (_, resample) => {
  prop.prop([logWeights, fc.nat()])(
    'gives each particle its share, rounded down or up, and n children in all',
    (w, seed) => {
      const ancestors = resample(w, new Rng(seed));
      expect(ancestors).toHaveLength(w.length);
      const counts = countsOf(ancestors, w.length);
      for (const [i, share] of shares(w).entries()) {
        expect(counts[i]!).toBeGreaterThanOrEqual(Math.floor(share - 1e-9));
        expect(counts[i]!).toBeLessThanOrEqual(Math.ceil(share + 1e-9));
      }
    },
  );

  test('is unbiased: n·w children on average', () => {
    const w = Float64Array.of(0.3, -1, 1.2, 0, -0.4, 0.9);
    const expected = shares(w);
    const sums = expected.map(() => 0);
    const squares = expected.map(() => 0);
    const n = 40_000;
    for (let i = 0; i < n; i++) {
      for (const [k, c] of countsOf(resample(w, new Rng(5).fork(i)), w.length).entries()) {
        sums[k]! += c;
        squares[k]! += c * c;
      }
    }
    for (const [k, share] of expected.entries()) {
      const mean = sums[k]! / n;
      const error = Math.sqrt((squares[k]! / n - mean * mean) / n);
      expect(Math.abs(mean - share), `particle ${k}: ${mean} against ${share}`).toBeLessThan(4 * error + 1e-12);
    }
  });

  test('leaves even weights as they are', () => {
    expect(Array.from(resample(new Float64Array(7), new Rng(3)))).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});
