import { predictionOf } from './prediction.ts';
import type { GaussianStep, PredictionType } from './types.ts';

export type DdpmVariance = 'fixed_small' | 'fixed_small_log' | 'fixed_large';

/**
 * One DDPM step as `N(sample·x_t + output·modelOutput, std²)`: the posterior mean of q(x_s | x_t, x̂₀).
 * Ho, Jain, Abbeel 2020 (arXiv:2006.11239), eq. 7; `fixed_small` is its β̃_t, `fixed_large` its β_t (section 3.2), with β_t the
 * variance of the whole jump from s to t when timesteps are skipped, as in diffusers.
 * @param alphaCumprodPrev ᾱ_s at the next, less noisy timestep; 1 removes all noise.
 * @param last the final step to timestep 0, where diffusers adds no noise whatever the variance.
 * @throws {RangeError} if timesteps do not descend.
 */
export function ddpmStep(
  alphaCumprod: number,
  alphaCumprodPrev: number,
  variance: DdpmVariance = 'fixed_small',
  predictionType: PredictionType = 'epsilon',
  timestep = 0,
  last = false,
): GaussianStep {
  if (!(alphaCumprodPrev > alphaCumprod))
    throw new RangeError(`DDPM timesteps must descend (at timestep ${timestep}).`);
  const signal = Math.sqrt(alphaCumprod);
  const noise = Math.sqrt(1 - alphaCumprod);
  const p = predictionOf(predictionType, signal, noise);
  const alpha = alphaCumprod / alphaCumprodPrev;
  const x0Weight = (Math.sqrt(alphaCumprodPrev) * (1 - alpha)) / (1 - alphaCumprod);
  const sampleWeight = (Math.sqrt(alpha) * (1 - alphaCumprodPrev)) / (1 - alphaCumprod);
  const posterior = ((1 - alphaCumprodPrev) / (1 - alphaCumprod)) * (1 - alpha);
  return {
    timestep,
    inputScale: 1,
    past: [],
    sample: x0Weight * p.x0Sample + sampleWeight,
    output: x0Weight * p.x0Output,
    std: last ? 0 : Math.sqrt(variance === 'fixed_large' ? 1 - alpha : posterior),
    x0Sample: p.x0Sample,
    x0Output: p.x0Output,
    x0Weight,
    signal,
    noise,
  };
}
