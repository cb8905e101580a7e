import { predictionOf } from './prediction.ts';
import type { GaussianStep, PredictionType } from './types.ts';

/**
 * One DDIM step as `N(sample·x_t + output·modelOutput, std²)`: x_s = √ᾱ_s·x̂₀ + √(1 − ᾱ_s − σ²)·ε̂ + σz.
 * Song, Meng, Ermon 2021 (arXiv:2010.02502), eq. 12 and 16. `eta` = 0 is deterministic, 1 is DDPM.
 * @param alphaCumprodPrev ᾱ_s at the next, less noisy timestep; 1 removes all noise.
 * @throws {RangeError} if timesteps do not descend or `eta` is outside 0…1.
 */
export function ddimStep(
  alphaCumprod: number,
  alphaCumprodPrev: number,
  eta: number,
  predictionType: PredictionType = 'epsilon',
  timestep = 0,
): GaussianStep {
  if (!(alphaCumprodPrev >= alphaCumprod))
    throw new RangeError(`DDIM timesteps must descend (at timestep ${timestep}).`);
  if (!(eta >= 0 && eta <= 1)) throw new RangeError(`DDIM eta is a number from 0 to 1, not ${eta}.`);
  const signal = Math.sqrt(alphaCumprod);
  const noise = Math.sqrt(1 - alphaCumprod);
  const p = predictionOf(predictionType, signal, noise);
  // With no noise left at t there is none to add: both factors of the variance vanish.
  const variance =
    alphaCumprod === 1 ? 0 : ((1 - alphaCumprodPrev) / (1 - alphaCumprod)) * (1 - alphaCumprod / alphaCumprodPrev);
  const std = eta * Math.sqrt(variance);
  const x0Weight = Math.sqrt(alphaCumprodPrev);
  // Zero up to rounding at eta = 1 and zero terminal SNR.
  const epsilonWeight = Math.sqrt(Math.max(0, 1 - alphaCumprodPrev - std * std));
  return {
    timestep,
    inputScale: 1,
    past: [],
    sample: x0Weight * p.x0Sample + epsilonWeight * p.epsilonSample,
    output: x0Weight * p.x0Output + epsilonWeight * p.epsilonOutput,
    std,
    x0Sample: p.x0Sample,
    x0Output: p.x0Output,
    x0Weight,
    signal,
    noise,
  };
}
