import type { SchedulerConfig } from './config.ts';
import type { SamplerName } from './names.ts';
import { sigmaGrid } from './sigmas.ts';
import { timestepsOf } from './timesteps.ts';

/** Standard deviation of the first sample: the largest σ where x = x₀ + σ·ε, 1 elsewhere. */
export function initialSigma(config: SchedulerConfig, name: SamplerName, steps: number): number {
  if (name !== 'euler' && name !== 'euler-ancestral' && name !== 'heun') return 1;
  const { sigmas } = sigmaGrid(config, timestepsOf(config, steps, 'fractional'));
  const largest = Math.max(...sigmas);
  // Leading spacing stops short of pure noise, where the data's own variance still counts.
  return config.timestep_spacing === 'leading' ? Math.sqrt(largest ** 2 + 1) : largest;
}
