import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { informationBits, wilsonInterval } from '#pipelines/preferences/index.ts';
import { gaussHermite, normalCdf, normalQuantile } from '#pipelines/preferences/normal.ts';

describe('the normal distribution', () => {
  // Tables: Abramowitz and Stegun 26.1; quantiles to 15 digits as published for the usual confidence levels.
  test.each([
    [0.975, 1.959963984540054],
    [0.95, 1.6448536269514722],
    [0.995, 2.5758293035489004],
    [0.5, 0],
    [1e-10, -6.361340902404056],
  ])('has quantile of %f at %f', (p, z) => {
    expect(normalQuantile(p)).toBeCloseTo(z, 12);
    expect(normalCdf(z) / p).toBeCloseTo(1, 9);
  });

  test('is continuous where its two formulas meet', () => {
    expect(normalCdf(-4.9999999) / normalCdf(-5)).toBeCloseTo(1, 5);
    expect(normalCdf(5)).toBeCloseTo(0.9999997133484281, 15);
  });

  test('Gauss–Hermite nodes reproduce the normal moments', () => {
    for (const n of [1, 5, 20, 32]) {
      const { nodes, weights } = gaussHermite(n);
      const moment = (k: number) => nodes.reduce((s, x, i) => s + weights[i]! * x ** k, 0);
      expect(moment(0)).toBeCloseTo(1, 12);
      if (n > 1) expect(moment(2)).toBeCloseTo(1, 11);
      if (n > 3) expect(moment(6)).toBeCloseTo(15, 9);
    }
  });
});

describe('the Wilson interval', () => {
  test.each([
    [18, 20, 0.698966, 0.972134, 6],
    [7, 8, 0.529, 0.978, 3],
    [11, 12, 0.646, 0.985, 3],
    [54, 72, 0.639, 0.836, 3],
    [108, 144, 0.673, 0.814, 3],
    // Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    [81, 263, 0.2553, 0.3662, 4],
    [15, 148, 0.0624, 0.1605, 4],
    [0, 20, 0, 0.1611, 4],
    [1, 29, 0.0061, 0.1718, 4],
  ])('of %d in %d is published as (%f, %f)', (wins, n, low, high, digits) => {
    const interval = wilsonInterval(wins, n);
    expect(interval[0]).toBeCloseTo(low, digits);
    expect(interval[1]).toBeCloseTo(high, digits);
  });

  prop.prop([fc.integer({ min: 1, max: 500 }), fc.double({ min: 0, max: 1, noNaN: true })])(
    'contains the proportion, stays in 0…1 and mirrors',
    (n, share) => {
      const wins = share * n;
      const [low, high] = wilsonInterval(wins, n);
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
      expect(low).toBeLessThanOrEqual(wins / n);
      expect(high).toBeGreaterThanOrEqual(wins / n);
      expect(wilsonInterval(n - wins, n)[1]).toBeCloseTo(1 - low, 9);
    },
  );

  test('of nothing, or of more wins than trials, is refused', () => {
    expect(() => wilsonInterval(0, 0)).toThrow(RangeError);
    expect(() => wilsonInterval(3, 2)).toThrow(RangeError);
  });
});

describe('the information of a question', () => {
  test.each([
    [0, 1, 0, 0.135193],
    [0, 1, 0.3, 0.152729],
    [1, 1, 0.3, 0.134705],
    [0, 2, 0.3, 0.374286],
    [3, 0.5, 0.3, 0.011389],
  ])('for difference %f ± %f and tie threshold %f is %f bits', (mean, sd, threshold, bits) => {
    expect(informationBits(mean, sd, threshold)).toBeCloseTo(bits, 5);
  });

  const any = fc.double({ min: -4, max: 4, noNaN: true });
  prop.prop([any, fc.double({ min: 0, max: 3, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })])(
    'is at most log2 3, never negative, even in the difference, and nothing when all is known',
    (mean, sd, threshold) => {
      const bits = informationBits(mean, sd, threshold);
      expect(bits).toBeGreaterThanOrEqual(0);
      expect(bits).toBeLessThan(Math.log2(3));
      expect(informationBits(-mean, sd, threshold)).toBeCloseTo(bits, 9);
      expect(informationBits(mean, 0, threshold)).toBeCloseTo(0, 9);
    },
  );
});
