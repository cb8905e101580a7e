/** 0 of nothing. */
export const mean = (xs: ArrayLike<number>): number => Array.from(xs).reduce((a, x) => a + x / xs.length, 0);

/** Of all there is, not of a sample: divided by n. */
export function standardDeviation(xs: ArrayLike<number>): number {
  const centre = mean(xs);
  return Math.sqrt(mean(Array.from(xs, (x) => (x - centre) ** 2)));
}

/** Pearson's; 0 where one of them does not vary. */
export function correlationOf(a: readonly number[], b: readonly number[]): number {
  const spread = standardDeviation(a) * standardDeviation(b);
  return spread > 0 ? covarianceOf(a, b) / spread : 0;
}

export function covarianceOf(a: readonly number[], b: readonly number[]): number {
  const [centreA, centreB] = [mean(a), mean(b)];
  return mean(a.map((x, i) => (x - centreA) * (b[i]! - centreB)));
}
