import { NorthlightError } from '#models/errors.ts';
import { linspace } from './betas.ts';
import type { SchedulerConfig } from './config.ts';
import { roundHalfEven } from './sigmas.ts';

/**
 * How a sampler places its timesteps: `whole`, rounded; `fractional`, the Euler family, not rounded; `before-clean`, the
 * multistep solvers, one more place than steps, the last of which (timestep 0) is where the run ends and is not visited.
 */
export type Placement = 'whole' | 'fractional' | 'before-clean';

/**
 * Training timesteps visited with `steps` inference steps, descending. Table 2 of Lin et al. 2023 (arXiv:2305.08891), with
 * diffusers' rounding (half to even) and `steps_offset` (leading only).
 * @throws {NorthlightError} `scheduler/steps` when there are more inference steps than training timesteps.
 */
export function timestepsOf(config: SchedulerConfig, steps: number, placement: Placement = 'whole'): number[] {
  const n = config.num_train_timesteps;
  const most = placement === 'before-clean' ? n - 1 : n;
  if (!Number.isInteger(steps) || steps < 1 || steps > most) {
    throw new NorthlightError(
      'scheduler/steps',
      `${steps} inference steps were asked for, but the model was trained with ${n} timesteps.`,
      `Use a whole number of steps from 1 to ${most}.`,
    );
  }
  const ascending = spaced(config, steps, placement);
  return ascending.map((t) => Math.min(t, n - 1)).reverse();
}

function spaced(config: SchedulerConfig, steps: number, placement: Placement): number[] {
  const n = config.num_train_timesteps;
  const unvisited = placement === 'before-clean' ? 1 : 0;
  switch (config.timestep_spacing) {
    case 'leading': {
      const stride = Math.floor(n / (steps + unvisited));
      return Array.from({ length: steps }, (_, i) => (i + unvisited) * stride + config.steps_offset);
    }
    case 'linspace': {
      const places = [...linspace(0, n - 1, steps + unvisited)].slice(unvisited);
      return placement === 'fractional' ? places : places.map(roundHalfEven);
    }
    case 'trailing':
      return Array.from({ length: steps }, (_, i) => roundHalfEven(n - (steps - 1 - i) * (n / steps)) - 1);
  }
}
