import type { Rng } from '#models/tensor/rng.ts';

/** log Σ exp(x), without overflow. Minus infinity for nothing. */
export function logSumExp(xs: ArrayLike<number>): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < xs.length; i++) max = Math.max(max, xs[i]!);
  if (max === Number.NEGATIVE_INFINITY) return max;
  let sum = 0;
  for (let i = 0; i < xs.length; i++) sum += Math.exp(xs[i]! - max);
  return max + Math.log(sum);
}

/** log of the mean of exp(x). */
export function logMeanExp(xs: ArrayLike<number>): number {
  return logSumExp(xs) - Math.log(xs.length);
}

/** Kish's effective sample size, 1/Σ w² of the normalised weights: 1 … n. */
export function effectiveSampleSize(logWeights: ArrayLike<number>): number {
  const total = logSumExp(logWeights);
  let squares = 0;
  for (let i = 0; i < logWeights.length; i++) squares += Math.exp(2 * (logWeights[i]! - total));
  return 1 / squares;
}

/** Index of the largest; the first of a tie. */
export function argmax(xs: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < xs.length; i++) if (xs[i]! > xs[best]!) best = i;
  return best;
}

/** One index with probability ∝ exp(logits): Gumbel-max in float64, so no normalising and no overflow. */
export function categorical(logits: ArrayLike<number>, rng: Rng): number {
  return argmax(Float64Array.from({ length: logits.length }, (_, i) => logits[i]! + rng.gumbel()));
}
