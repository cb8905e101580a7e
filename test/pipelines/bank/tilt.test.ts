import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { alphaForEss, alphaForKl, defaultAlpha } from '#pipelines/bank/alpha.ts';
import { quantilesOf, tilt } from '#pipelines/bank/tilt.ts';

const rewards = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 2, maxLength: 12 });
const alphas = fc.double({ min: 0.05, max: 20, noNaN: true });

/** q, its mean, KL and Σq² written out from their definitions. */
function enumerated(values: readonly number[], alpha: number) {
  const worth = values.map((r) => Math.exp(r / alpha));
  const z = worth.reduce((a, b) => a + b);
  const q = worth.map((w) => w / z);
  return {
    q,
    mean: q.reduce((sum, p, i) => sum + p * values[i]!, 0),
    kl: q.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p * values.length) : 0), 0),
    ess: 1 / q.reduce((sum, p) => sum + p * p, 0),
  };
}

describe('the tilt of one group', () => {
  test.prop([rewards, alphas])('is exp(r/α), normalised, by enumeration', (values, alpha) => {
    const t = tilt([values], alpha);
    const exact = enumerated(values, alpha);
    for (const [i, q] of exact.q.entries()) expect(t.weights[i]).toBeCloseTo(q, 12);
    expect(t.mean).toBeCloseTo(exact.mean, 10);
    expect(t.kl).toBeCloseTo(exact.kl, 10);
    expect(t.ess).toBeCloseTo(exact.ess, 8);
  });

  test.prop([rewards, alphas, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true }))])(
    'has no better weights: E[r] − α·KL is largest there',
    (values, alpha, stream) => {
      const other = values.map(() => 1e-3 + (stream.next().value as number));
      const sum = other.reduce((a, b) => a + b);
      const worth = (q: readonly number[]) =>
        q.reduce((s, p, i) => s + p * values[i]! - (p > 0 ? alpha * p * Math.log(p * q.length) : 0), 0);
      const t = tilt([values], alpha);
      expect(worth([...t.weights])).toBeGreaterThanOrEqual(worth(other.map((w) => w / sum)) - 1e-9);
      // Its value in closed form: α·ln of the mean of exp(r/α).
      const logZ = Math.log(values.reduce((s, r) => s + Math.exp(r / alpha), 0) / values.length);
      expect(t.mean - alpha * t.kl).toBeCloseTo(alpha * logZ, 8);
    },
  );

  test('of a constant changes nothing', () => {
    const values = [0.25, -1.5, 3, 0.75];
    const shifted = values.map((r) => r + 1024);
    expect(tilt([shifted], 0.5).weights).toEqual(tilt([values], 0.5).weights);
  });

  test('of rewards and α scaled together changes nothing', () => {
    const values = [0.25, -1.5, 3, 0.75];
    expect(tilt([values.map((r) => 8 * r)], 4).weights).toEqual(tilt([values], 0.5).weights);
  });

  test('at scores far apart neither overflows nor leaves the numbers', () => {
    const t = tilt([[0, 1e6, -1e6]], 1e-3);
    expect([...t.weights]).toEqual([0, 1, 0]);
    expect(t.kl).toBeCloseTo(Math.log(3), 12);
  });

  test('says that few samples carry it, below ten, or a twentieth of them', () => {
    const even = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 0 : 1e-9));
    expect(tilt([even], 1)).toMatchObject({ reliable: true });
    // Nineteen of 400 carry all: fewer than a twentieth.
    const few = Array.from({ length: 400 }, (_, i) => (i < 19 ? 1 : 0));
    expect(tilt([few], 0.01)).toMatchObject({ reliable: false });
    expect(tilt([few.slice(0, 20)], 0.01)).toMatchObject({ reliable: true });
    expect(tilt([[1, 1, 1, 1, 1, 1, 1, 1, 1]], 1)).toMatchObject({ reliable: false, ess: expect.closeTo(9, 9) });
  });

  test('has the quantiles of its weights', () => {
    const values = Array.from({ length: 10 }, (_, i) => i + 1);
    const of = (alpha: number) => quantilesOf([values], tilt([values], alpha).weights);
    expect(of(Number.POSITIVE_INFINITY)).toEqual({ q10: 1, q50: 5, q90: 9 });
    expect(of(1e-3)).toEqual({ q10: 10, q50: 10, q90: 10 });
  });
});

test('an easy prompt takes no weight from a hard one', () => {
  const [hard, easy] = [
    [0, 1],
    [10, 11, 12],
  ];
  const t = tilt([hard!, easy!], 1);
  expect(t.weights[0]! + t.weights[1]!).toBeCloseTo(0.5, 12);
  const [a, b] = [tilt([hard!], 1), tilt([easy!], 1)];
  expect(t.mean).toBeCloseTo((a.mean + b.mean) / 2, 12);
  expect(t.kl).toBeCloseTo((a.kl + b.kl) / 2, 12);
});

describe('the α for', () => {
  const spread = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 3, maxLength: 20 });

  test.prop([spread, fc.double({ min: 0.02, max: 0.95, noNaN: true })])('a distance is found', (values, share) => {
    const kl = share * Math.log(values.length);
    const alpha = alphaForKl([values], kl);
    expect(
      enumerated(
        values.map((v) => v - Math.max(...values)),
        alpha!,
      ).kl,
    ).toBeCloseTo(kl, 8);
  });

  test.prop([spread, fc.double({ min: 0.05, max: 0.95, noNaN: true })])('a sample size is found', (values, share) => {
    const ess = 1 + share * (values.length - 1);
    const alpha = alphaForEss([values], ess);
    expect(
      enumerated(
        values.map((v) => v - Math.max(...values)),
        alpha!,
      ).ess,
    ).toBeCloseTo(ess, 6);
  });

  test('what no tilt reaches is null', () => {
    expect(alphaForKl([[1, 1, 1]], 0.5)).toBeNull();
    expect(alphaForKl([[1, 2, 2]], Math.log(3 / 2) + 1e-6)).toBeNull();
    expect(alphaForKl([[1, 2, 3]], 0)).toBeNull();
    expect(alphaForEss([[1, 2, 2]], 1.5)).toBeNull();
    expect(alphaForEss([[1, 2, 3]], 3)).toBeNull();
    expect(defaultAlpha([[4, 4]])).toBeNull();
  });
});

describe('the default α', () => {
  /** Quantiles of a normal distribution. */
  const normal = (n: number, std: number) =>
    Array.from({ length: n }, (_, i) => {
      const p = (i + 0.5) / n;
      const t = Math.sqrt(-2 * Math.log(Math.min(p, 1 - p)));
      const tail =
        t - (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t ** 3);
      return std * (p < 0.5 ? -tail : tail);
    });

  test('of normal rewards is their standard deviation over √2, in whatever unit', () => {
    for (const std of [0.02, 1, 300]) {
      const alpha = defaultAlpha([normal(4096, std)])!;
      expect(alpha / std).toBeGreaterThan(0.98 / Math.SQRT2);
      expect(alpha / std).toBeLessThan(1.02 / Math.SQRT2);
    }
  });

  test('goes no further than the samples can show', () => {
    const few = normal(40, 1);
    const alpha = defaultAlpha([few])!;
    expect(tilt([few], alpha).ess).toBeCloseTo(10, 6);
    expect(tilt([few], alpha)).toMatchObject({ reliable: true });
    expect(alpha).toBeGreaterThan(alphaForKl([few], 1)!);
  });

  test('of fewer samples than ten is that of one nat', () => {
    const values = [0, 1, 2, 3, 4, 5];
    expect(tilt([values], defaultAlpha([values])!).kl).toBeCloseTo(1, 8);
  });
});
