import { NorthlightError } from '#models/errors.ts';
import { alphasCumprodOf } from './betas.ts';
import type { SchedulerConfig } from './config.ts';
import { ddimStep } from './ddim.ts';
import { type DdpmVariance, ddpmStep } from './ddpm.ts';
import { timestepsOf } from './timesteps.ts';
import type { GaussianStep, ScheduleOptions } from './types.ts';

/** DDIM or DDPM over the training timesteps that the configuration's spacing picks. */
export function variancePreservingSteps(
  name: 'ddim' | 'ddpm',
  config: SchedulerConfig,
  options: ScheduleOptions,
): GaussianStep[] {
  const keepNoise = options.finalAlphaCumprod === 'keep-noise';
  const alphasCumprod = alphasCumprodOf(config);
  const variance = name === 'ddpm' ? ddpmVariance(config.variance_type) : 'fixed_small';
  const stride = Math.floor(config.num_train_timesteps / options.steps);
  const configFinal = name === 'ddpm' || config.set_alpha_to_one ? 1 : alphasCumprod[0]!;
  const timesteps = timestepsOf(config, options.steps);
  if (keepNoise && stride === 1 && timesteps.at(-1) === 0) {
    throw new NorthlightError(
      'scheduler/steps',
      `With all ${options.steps} timesteps visited, the last step has no noise and so no log-probability.`,
      `Use at most ${Math.max(1, Math.floor(config.num_train_timesteps / 2))} steps, or do not keep trajectories.`,
    );
  }
  return timesteps.map((timestep, i) => {
    const last = i === timesteps.length - 1;
    // The step before the last must land where the last one starts.
    const lowest = keepNoise ? 1 : 0;
    const t = Math.max(timestep, lowest);
    const previous = timestep - stride;
    let alphaPrev = previous >= 0 ? alphasCumprod[Math.max(previous, lowest)]! : configFinal;
    if (keepNoise && last) alphaPrev = alphasCumprod[0]!;
    const alpha = alphasCumprod[t]!;
    return name === 'ddpm'
      ? ddpmStep(alpha, alphaPrev, variance, config.prediction_type, t, t === 0)
      : ddimStep(alpha, alphaPrev, options.eta, config.prediction_type, t);
  });
}

function ddpmVariance(type: string): DdpmVariance {
  if (type === 'fixed_small' || type === 'fixed_small_log' || type === 'fixed_large') return type;
  throw new NorthlightError(
    'scheduler/unsupported',
    `variance_type "${type}" in scheduler_config.json is not supported.`,
    'Use the ddim scheduler, or set "variance_type" to "fixed_small" or "fixed_large".',
  );
}
