import type { DynamicThreshold } from './types.ts';

/**
 * Dynamic thresholding of one predicted clean sample, in place: x ← clamp(x, ±s)/s, s the quantile `ratio` of |x| held to
 * 1 … `max`. Saharia et al. 2022 (arXiv:2205.11487), section 2.3. The quantile is linear between order statistics.
 * @param x0 all elements of one sample.
 */
export function thresholdSample(x0: Float64Array, { ratio, max }: DynamicThreshold): void {
  const s = Math.min(max, Math.max(1, quantile(x0.map(Math.abs).sort(), ratio)));
  for (let i = 0; i < x0.length; i++) x0[i] = Math.min(s, Math.max(-s, x0[i]!)) / s;
}

function quantile(ascending: Float64Array, ratio: number): number {
  const place = ratio * (ascending.length - 1);
  const below = Math.floor(place);
  const [a, b] = [ascending[below]!, ascending[Math.ceil(place)]!];
  return a + (place - below) * (b - a);
}
