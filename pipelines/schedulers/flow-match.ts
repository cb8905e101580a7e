import { NorthlightError } from '#models/errors.ts';
import { linspace } from './betas.ts';
import type { SchedulerConfig } from './config.ts';
import type { GaussianStep, ScheduleOptions } from './types.ts';

/** Ways to take a step of a rectified flow x = (1 − σ)·x₀ + σ·ε with velocity v = ε − x₀. */
export type FlowKind = 'flow-match-euler' | 'flow-match-sde' | 'flow-match-dance' | 'flow-match-cps';

/**
 * The ordinary differential equation by Euler (`flow-match-euler`), or one of the stochastic forms that policy gradients need:
 * - `flow-match-sde`: Liu et al. 2025 (arXiv:2505.05470), eq. 9, noise g = a·√(σ/(1 − σ));
 * - `flow-match-dance`: Xue et al. 2025 (arXiv:2505.07818), constant noise η;
 * - `flow-match-cps`: Wang and Yu 2025 (arXiv:2509.05952), noise that keeps the coefficients of x₀ and ε.
 * `options.eta` is the noise level (a, η); 0 gives Euler in each of them.
 */
export function flowSteps(kind: FlowKind, config: SchedulerConfig, options: ScheduleOptions): GaussianStep[] {
  const sigmas = flowSigmas(config, options);
  const a = options.eta;
  return Array.from({ length: options.steps }, (_, i) => {
    const [sigma, to] = [sigmas[i]!, sigmas[i + 1]!];
    const dt = to - sigma;
    const scalars = { sample: 1, output: dt, std: 0 };
    if (kind === 'flow-match-sde' && a > 0) {
      // At pure noise 1 − σ is zero; the second level stands in for it.
      const g = a * Math.sqrt(sigma / (1 - (sigma === 1 ? sigmas[1]! : sigma)));
      scalars.sample = 1 + (g ** 2 / (2 * sigma)) * dt;
      scalars.output = (1 + (g ** 2 * (1 - sigma)) / (2 * sigma)) * dt;
      scalars.std = g * Math.sqrt(-dt);
    } else if (kind === 'flow-match-dance' && a > 0) {
      // −½η²·score·dt with score = −(x + (1 − σ)·v)/σ.
      const pull = (0.5 * a ** 2 * dt) / sigma;
      scalars.sample = 1 + pull;
      scalars.output = dt + pull * (1 - sigma);
      scalars.std = a * Math.sqrt(-dt);
    } else if (kind === 'flow-match-cps' && a > 0) {
      // x₀ = x − σ·v, ε = x + (1 − σ)·v: (1 − to)·x₀ + √(to² − std²)·ε.
      scalars.std = to * Math.sin((a * Math.PI) / 2);
      const kept = Math.sqrt(Math.max(0, to ** 2 - scalars.std ** 2));
      scalars.sample = 1 - to + kept;
      scalars.output = -(1 - to) * sigma + kept * (1 - sigma);
    }
    return {
      timestep: sigma * config.num_train_timesteps,
      inputScale: 1,
      ...scalars,
      past: [],
      x0Sample: 1,
      x0Output: -sigma,
      x0Weight: 0,
      signal: 1 - sigma,
      noise: sigma,
    };
  });
}

/** Noise levels from 1 (or the shifted largest) to 0, `steps + 1` of them. Esser et al. 2024 (arXiv:2403.03206), eq. 23. */
export function flowSigmas(config: SchedulerConfig, options: ScheduleOptions): number[] {
  const n = config.num_train_timesteps;
  const { steps } = options;
  if (!Number.isInteger(steps) || steps < 1) {
    throw new NorthlightError('scheduler/steps', `${steps} inference steps.`, 'Use a whole number of 1 or more.');
  }
  const fixed = (s: number) => (config.shift * s) / (1 + (config.shift - 1) * s);
  const dynamic = config.use_dynamic_shifting;
  // The range of the training grid is itself shifted, and the levels between are shifted again: so the reference does it.
  const [low, high] = dynamic ? [1 / n, 1] : [fixed(1 / n), fixed(1)];
  let sigmas = [...linspace(high, low, steps)].map(dynamic ? dynamicShift(config, options) : fixed);
  if (config.shift_terminal !== null) {
    const last = sigmas.at(-1)!;
    const scale = (1 - last) / (1 - config.shift_terminal);
    sigmas = sigmas.map((s) => 1 - (1 - s) / scale);
  }
  return [...sigmas, 0];
}

function dynamicShift(config: SchedulerConfig, options: ScheduleOptions): (sigma: number) => number {
  const length = options.imageSequenceLength;
  if (length === undefined) {
    throw new NorthlightError(
      'scheduler/config',
      'scheduler_config.json shifts noise with the size of the picture, and no size was given.',
      'Give the picture size, or set "use_dynamic_shifting" to false.',
    );
  }
  const [x1, x2] = [config.base_image_seq_len ?? 256, config.max_image_seq_len ?? 4096];
  const [y1, y2] = [config.base_shift ?? 0.5, config.max_shift ?? 1.15];
  const mu = y1 + ((length - x1) / (x2 - x1)) * (y2 - y1);
  const shift = config.time_shift_type === 'linear' ? mu : Math.exp(mu);
  return (sigma) => shift / (shift + (1 / sigma - 1));
}
