import { NorthlightError } from '#models/errors.ts';
import { linspace } from './betas.ts';
import type { SchedulerConfig } from './config.ts';

/**
 * Training timesteps visited with `steps` inference steps, descending. Table 2 of Lin et al. 2023 (arXiv:2305.08891), with
 * diffusers' rounding (half to even) and `steps_offset` (leading only).
 * @throws {NorthlightError} `scheduler/steps` when there are more inference steps than training timesteps.
 */
export function timestepsOf(config: SchedulerConfig, steps: number): number[] {
  const n = config.num_train_timesteps;
  if (!Number.isInteger(steps) || steps < 1 || steps > n) {
    throw new NorthlightError(
      'scheduler/steps',
      `${steps} inference steps were asked for, but the model was trained with ${n} timesteps.`,
      `Use a whole number of steps from 1 to ${n}.`,
    );
  }
  const ascending = spaced(config, steps);
  return ascending.map((t) => Math.min(t, n - 1)).reverse();
}

function spaced(config: SchedulerConfig, steps: number): number[] {
  const n = config.num_train_timesteps;
  switch (config.timestep_spacing) {
    case 'leading': {
      const stride = Math.floor(n / steps);
      return Array.from({ length: steps }, (_, i) => i * stride + config.steps_offset);
    }
    case 'linspace':
      return Array.from(linspace(0, n - 1, steps), roundHalfEven);
    case 'trailing':
      return Array.from({ length: steps }, (_, i) => roundHalfEven(n - (steps - 1 - i) * (n / steps)) - 1);
  }
}

function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}
