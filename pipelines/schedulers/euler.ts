import type { SchedulerConfig } from './config.ts';
import { combine, linearStep, outputAt, sampleAt } from './linear.ts';
import { cleanOf } from './prediction-sigma.ts';
import { sigmaGrid } from './sigmas.ts';
import { timestepsOf } from './timesteps.ts';
import type { GaussianStep } from './types.ts';

/**
 * Euler's method on dx/dσ = (x − x̂₀)/σ: Karras et al. 2022 (arXiv:2206.00364), algorithm 1 without its second half; with
 * `ancestral`, part of each step is fresh noise (σ_up² = σ_to²(σ² − σ_to²)/σ²), as in k-diffusion. x = x₀ + σ·ε.
 */
export function eulerSteps(config: SchedulerConfig, steps: number, ancestral: boolean): GaussianStep[] {
  const { timesteps, sigmas } = sigmaGrid(config, timestepsOf(config, steps, 'fractional'));
  const continuous = config.timestep_type === 'continuous' && config.prediction_type === 'v_prediction';
  return timesteps.map((timestep, i) => {
    const [sigma, to] = [sigmas[i]!, sigmas[i + 1]!];
    const up = ancestral ? Math.sqrt((to ** 2 * Math.max(0, sigma ** 2 - to ** 2)) / sigma ** 2) : 0;
    const down = Math.sqrt(to ** 2 - up ** 2);
    const p = cleanOf(config.prediction_type, sigma);
    const x = sampleAt(i);
    const clean = combine([p.sample, x], [p.output, outputAt(i)]);
    const next = combine([down / sigma, x], [1 - down / sigma, clean]);
    return linearStep(i, next, clean, {
      timestep: continuous ? 0.25 * Math.log(sigma) : timestep,
      inputScale: 1 / Math.sqrt(sigma ** 2 + 1),
      std: up,
      signal: 1,
      noise: sigma,
    });
  });
}
