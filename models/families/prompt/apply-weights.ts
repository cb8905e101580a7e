/** What weights of words do to an encoding. `multiply` leaves the mean as it comes out. */
export type Emphasis = 'restore-mean' | 'multiply' | 'ignore';

/**
 * Hidden states `[T, D]` times the weight of each token `[T]`, then scaled so that their mean is what it was (as the
 * AUTOMATIC1111 web UI does by default). Gives the states themselves where no weight differs from 1.
 */
export function applyWeights(hidden: Float32Array, weights: readonly number[], emphasis: Emphasis): Float32Array {
  if (emphasis === 'ignore' || weights.every((w) => w === 1)) return hidden;
  const width = hidden.length / weights.length;
  const weighted = hidden.map((v, i) => v * weights[Math.floor(i / width)]!);
  if (emphasis === 'multiply') return weighted;
  const scale = sum(hidden) / sum(weighted);
  // A mean of zero cannot be restored by scaling.
  return Number.isFinite(scale) && scale !== 0 ? weighted.map((v) => v * scale) : weighted;
}

function sum(values: Float32Array): number {
  let total = 0;
  for (const v of values) total += v;
  return total;
}
