import { NorthlightError } from '#models/errors.ts';
import { alphasCumprodOf } from './betas.ts';
import type { SchedulerConfig } from './config.ts';
import { ddimStep } from './ddim.ts';
import { type DdpmVariance, ddpmStep } from './ddpm.ts';
import { timestepsOf } from './timesteps.ts';
import type { GaussianSchedule, GaussianStep } from './types.ts';

export { parseSchedulerConfig, type SchedulerConfig } from './config.ts';

export interface ScheduleOptions {
  /** Default: what the configuration's `_class_name` says, and DDIM where it names another sampler. */
  readonly name?: 'ddim' | 'ddpm';
  readonly steps: number;
  /** DDIM only: 0 deterministic … 1 as noisy as DDPM. */
  readonly eta: number;
  /**
   * What the last step leads to. `config` (default): the configuration's final ᾱ. `keep-noise`: ᾱ₀, from a timestep of at
   * least 1, so that σ > 0 and every step has a log-probability, as in the DDPO and D3PO code; for kept trajectories.
   */
  readonly finalAlphaCumprod?: 'config' | 'keep-noise';
}

/**
 * The schedule of a variance-preserving model with `steps` inference steps, from noisy to clean, float64.
 * @throws {NorthlightError} `scheduler/steps`, `scheduler/config`, `scheduler/undefined` or `scheduler/unsupported`.
 */
export function createGaussianSchedule(config: SchedulerConfig, options: ScheduleOptions): GaussianSchedule {
  const name = options.name ?? (config._class_name.startsWith('DDPM') ? 'ddpm' : 'ddim');
  refuseUnsupported(config);
  if (!(options.eta >= 0 && options.eta <= 1)) {
    throw new NorthlightError('scheduler/eta', `eta is ${options.eta}.`, 'Use a number from 0 to 1.');
  }
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

  const step = (timestep: number, i: number): GaussianStep => {
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
  };

  return {
    kind: 'gaussian',
    name,
    predictionType: config.prediction_type,
    initNoiseSigma: 1,
    steps: timesteps.map(step),
    clipSampleRange: config.clip_sample ? config.clip_sample_range : null,
  };
}

function refuseUnsupported(config: SchedulerConfig): void {
  if (config._class_name.startsWith('FlowMatch')) {
    throw new NorthlightError(
      'scheduler/unsupported',
      `${config._class_name} belongs to a flow-matching model, which has no DDIM or DDPM schedule.`,
      'Choose a flow-matching sampler for this model.',
    );
  }
  if (config.thresholding) {
    throw new NorthlightError(
      'scheduler/unsupported',
      'scheduler_config.json asks for dynamic thresholding, which is not a Gaussian step.',
      'Set "thresholding" to false (and "clip_sample" to true for pixel models).',
    );
  }
}

function ddpmVariance(type: string): DdpmVariance {
  if (type === 'fixed_small' || type === 'fixed_small_log' || type === 'fixed_large') return type;
  throw new NorthlightError(
    'scheduler/unsupported',
    `variance_type "${type}" in scheduler_config.json is not supported.`,
    'Use the ddim scheduler, or set "variance_type" to "fixed_small" or "fixed_large".',
  );
}
