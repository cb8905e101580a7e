import { type Groups, leastEss } from './tilt.ts';

/** What the best of N is expected to be. */
export interface BestOf {
  readonly mean: number;
  readonly ess: number;
  /** False where a few samples carry the rest; see `Tilt`. */
  readonly reliable: boolean;
}

/** How far the best of N is from plain samples, in nats, where no two rewards are equal: ln N − (N − 1)/N. */
export const bestOfKl = (n: number): number => Math.log(n) - (n - 1) / n;

/**
 * Chance of each of m samples, best first, to be the best of n of them drawn without replacement: C(m − k, n − 1) / C(m, n)
 * for the k-th.
 */
export function bestOfWeights(m: number, n: number): Float64Array {
  const weights = new Float64Array(m);
  let chance = n / m;
  for (let k = 1; k <= m - n + 1; k++) {
    weights[k - 1] = chance;
    chance *= (m - k - n + 1) / (m - k);
  }
  return weights;
}

/** Unbiased for the mean reward of the best of N, averaged over the groups; null where a group has fewer than N samples. */
export function bestOf(groups: Groups, n: number): BestOf | null {
  if (groups.length === 0 || groups.some((group) => group.length < n)) return null;
  let mean = 0;
  let squares = 0;
  let samples = 0;
  for (const group of groups) {
    const best = Float64Array.from(group).sort().reverse();
    const weights = bestOfWeights(best.length, n);
    mean += weights.reduce((sum, w, k) => sum + w * best[k]!, 0) / groups.length;
    squares += weights.reduce((sum, w) => sum + w * w, 0) / groups.length ** 2;
    samples += group.length;
  }
  const ess = 1 / squares;
  return { mean, ess, reliable: ess >= leastEss(samples) };
}
