/**
 * Mean of the largest of k standard normals, by the midpoint rule over x in ±9: 0 for k = 1. Of values with mean m and deviation s, the
 * best of k is expected at about m + s times this.
 */
export function expectedLargest(k: number): number {
  const step = 1e-3;
  let below = 0;
  let sum = 0;
  for (let x = -9 + step / 2; x < 9; x += step) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    const middle = below + (density * step) / 2;
    sum += x * k * density * middle ** (k - 1) * step;
    below += density * step;
  }
  return sum;
}

/**
 * What the best of several completions with these rewards is expected to be worth.
 * @param largest {@link expectedLargest} of as many.
 */
export function provenValue(rewards: Float64Array, largest: number): number {
  const mean = rewards.reduce((sum, r) => sum + r, 0) / rewards.length;
  const variance = rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / rewards.length;
  return mean + Math.sqrt(variance) * largest;
}

/**
 * Rank of a candidate among those of other parents: its value Q with what it adds to the parent for someone who would try `k` ways on,
 * Q + a·(V_k − V_k(parent)). Rewarding progress, Setlur et al. 2024 (arXiv:2410.08146).
 */
export const rankByProgress = (value: number, proven: number, before: number, a: number): number =>
  value + a * (proven - before);
