import type { Denoiser } from '#pipelines/sampling/denoiser.ts';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';

/** Data N(mean, variance) in every dimension, where the optimal denoiser and the law of any chain are known exactly. */
export const target = { mean: 1, variance: 0.25 };

/** Ten steps, β linear from 1e-3 to 0.4, every training timestep visited. */
export function toySchedule(): GaussianSchedule {
  const config = parseSchedulerConfig({
    _class_name: 'DDPMScheduler',
    num_train_timesteps: 10,
    beta_start: 1e-3,
    beta_end: 0.4,
    clip_sample: false,
  });
  return createGaussianSchedule(config, { steps: 10, eta: 1 });
}

/** ε̂ = gain·x + offset at a step. */
export function exactEpsilon({ signal, noise }: GaussianStep): { gain: number; offset: number } {
  const { mean, variance } = target;
  const k = (signal * variance) / (signal * signal * variance + noise * noise);
  return { gain: (1 - signal * k) / noise, offset: (-signal * (mean - k * signal * mean)) / noise };
}

export function exactDenoiser(schedule: GaussianSchedule, dims: readonly number[]): Denoiser<string> {
  const byTimestep = new Map(schedule.steps.map((step) => [step.timestep, exactEpsilon(step)]));
  return {
    dims,
    predict: async (samples, timestep) => {
      const { gain, offset } = byTimestep.get(timestep)!;
      return samples.map((x) => gain * x + offset);
    },
  };
}

/** Law of the last state of a chain started from N(mean, variance), by recursion. */
export function exactLaw(
  schedule: GaussianSchedule,
  start = { mean: 0, variance: 1 },
): { mean: number; variance: number } {
  let { mean, variance } = start;
  for (const step of schedule.steps) {
    const { gain, offset } = exactEpsilon(step);
    const a = step.sample + step.output * gain;
    mean = a * mean + step.output * offset;
    variance = a * a * variance + step.std ** 2;
  }
  return { mean, variance };
}
