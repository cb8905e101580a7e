import { normalQuantile } from './normal.ts';

/**
 * Confidence interval of a proportion, Wilson 1927 (score interval, no continuity correction). Stays inside 0…1 and means
 * something at 0 and n wins.
 * @param wins may be fractional: a tie counts as half a win.
 * @throws {RangeError} unless 0 ≤ wins ≤ n, n > 0 and 0 < confidence < 1.
 */
export function wilsonInterval(wins: number, n: number, confidence = 0.95): [low: number, high: number] {
  if (!(n > 0 && wins >= 0 && wins <= n)) throw new RangeError(`There is no proportion ${wins} of ${n}.`);
  if (!(confidence > 0 && confidence < 1)) throw new RangeError('Confidence lies between 0 and 1.');
  const z = normalQuantile(0.5 + confidence / 2);
  const p = wins / n;
  const shrink = 1 + (z * z) / n;
  const centre = (p + (z * z) / (2 * n)) / shrink;
  const half = (z / shrink) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  // Rounding must not push a bound past the proportion itself (exactly 0 or 1 at the ends).
  return [Math.max(0, Math.min(p, centre - half)), Math.min(1, Math.max(p, centre + half))];
}
