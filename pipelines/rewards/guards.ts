import type { Reward } from './types.ts';

/** The reward beyond which there is no more credit, and over how much the cap sets in: 0 at once. */
export interface Cap {
  readonly cap: number;
  readonly softness?: number;
}

/**
 * A learned reward that gives no credit beyond a cap, so that nothing is gained by running away with it: `min(r − cap, 0)`, or softly
 * `−s·ln(1 + e^((cap − r)/s))`. For rewards that are better when lower the cap is a floor, and scores come out turned around.
 * Gao et al. 2024 (arXiv:2410.15115), Clip. Choose the cap as a high quantile of good samples.
 */
export function capped(reward: Reward, { cap, softness = 0 }: Cap): Reward {
  const sign = reward.higherIsBetter ? 1 : -1;
  return {
    ...reward,
    higherIsBetter: true,
    score: async (items) => (await reward.score(items)).map((score) => clip(sign * (score - cap), softness)),
  };
}

/** The credit for a reward that is `over` its cap; less than 0 below it. */
export function clip(over: number, softness = 0): number {
  if (softness === 0) return Math.min(over, 0);
  const x = -over / softness;
  // ln(1 + eˣ) without overflow.
  return -softness * (Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))));
}

/**
 * Rewards of the steps of a process from the values after each, so that what is still to come from step k is exactly value k, and
 * repeating a step gains nothing: vₖ − vₖ₊₁, and the last value. Gao et al. 2024 (arXiv:2410.15115), Delta.
 */
export function deltas(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values, (value, k) => (k + 1 < values.length ? value - values[k + 1]! : value));
}
