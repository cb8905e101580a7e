import { NorthlightError } from '#models/errors.ts';
import { alphasCumprodOf } from './betas.ts';
import type { SchedulerConfig } from './config.ts';
import { combine, linearStep, outputAt, sampleAt } from './linear.ts';
import { predictionOf } from './prediction.ts';
import type { GaussianStep } from './types.ts';

/** Standard deviation of the data that the boundary condition assumes. */
const SIGMA_DATA = 0.5;

/**
 * Multistep consistency sampling: predict the clean sample, add noise again. Luo et al. 2023 (arXiv:2310.04378), algorithm 3,
 * with f = c_skip·x + c_out·x̂₀. Timesteps are picked from the `original_inference_steps` of the distillation.
 * @throws {NorthlightError} `scheduler/steps` when more steps are asked for than the distillation had.
 */
export function lcmSteps(config: SchedulerConfig, steps: number): GaussianStep[] {
  const original = config.original_inference_steps;
  if (!Number.isInteger(steps) || steps < 1 || steps > original) {
    throw new NorthlightError(
      'scheduler/steps',
      `${steps} inference steps were asked for, but the model was distilled with ${original}.`,
      `Use a whole number of steps from 1 to ${original}; 4 to 8 are usual.`,
    );
  }
  const alphas = alphasCumprodOf(config);
  const stride = Math.floor(config.num_train_timesteps / original);
  const timesteps = Array.from({ length: steps }, (_, i) => {
    const index = Math.floor((i * original) / steps);
    return (original - index) * stride - 1;
  });
  return timesteps.map((timestep, i) => {
    const [signal, noise] = [Math.sqrt(alphas[timestep]!), Math.sqrt(1 - alphas[timestep]!)];
    const p = predictionOf(config.prediction_type, signal, noise);
    const scaled = timestep * config.timestep_scaling;
    const skip = SIGMA_DATA ** 2 / (scaled ** 2 + SIGMA_DATA ** 2);
    const out = scaled / Math.sqrt(scaled ** 2 + SIGMA_DATA ** 2);
    const x = sampleAt(i);
    const predicted = combine([p.x0Sample, x], [p.x0Output, outputAt(i)]);
    const clean = combine([out, predicted], [skip, x]);
    const following = timesteps[i + 1];
    const alpha = following === undefined ? 1 : alphas[following]!;
    return linearStep(i, combine([Math.sqrt(alpha), clean]), clean, {
      timestep,
      inputScale: 1,
      std: Math.sqrt(1 - alpha),
      signal,
      noise,
    });
  });
}
