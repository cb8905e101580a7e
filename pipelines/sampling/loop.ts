import { NorthlightError } from '#models/errors.ts';
import { Rng } from '#models/tensor/rng.ts';
import { numel } from '#models/tensor/tensor.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import type { Denoiser } from './denoiser.ts';
import { gaussianLogProb, type Trajectory } from './trajectory.ts';

/** One sample to make. All its randomness is a function of `seed`, `index` and `noiseIndex`. */
export interface SampleRow<C> {
  readonly condition: C;
  readonly seed: number;
  readonly index: number;
  /** Index for the initial noise: rows that share it start from the same x_T. */
  readonly noiseIndex: number;
}

export interface SampleLoopOptions<C> {
  readonly denoiser: Denoiser<C>;
  readonly schedule: GaussianSchedule;
  readonly rows: readonly SampleRow<C>[];
  /** Unit normal start `[B, ...dims]` instead of the rows' own; `initNoiseSigma` is applied here. */
  readonly initialNoise?: Float32Array;
  /** Needs σ > 0 at every step and no clipping. */
  readonly keepTrajectory: boolean;
  /** Give the predicted clean sample every so many steps; absent: never. */
  readonly previewEvery?: number;
}

/** After each step. Arrays are `[B, ...dims]` and not reused. */
export interface SampleStep {
  /** 1 … total. */
  readonly step: number;
  readonly total: number;
  readonly timestep: number;
  readonly samples: Float32Array;
  /** What the network thinks the clean sample is, at every `previewEvery`-th step. */
  readonly predOriginalSample: Float32Array | null;
}

export interface SampleResult {
  /** `[B, ...dims]`, as the scheduler left them. */
  readonly samples: Float32Array;
  /** One per row, when kept. */
  readonly trajectories?: Trajectory[];
}

/** Unit normal x_T of a row, `[D]`. */
export function initialNoiseOf(row: { seed: number; noiseIndex: number }, size: number): Float32Array {
  return new Rng(row.seed).fork('noise', row.noiseIndex, 'initial').fillNormal(new Float32Array(size));
}

/**
 * The denoising loop: x_T to x_0 through every step of a Gaussian schedule, `x_prev = sample·x_t + output·modelOutput + std·z`,
 * plus what a multistep solver takes from earlier evaluations.
 * The noise of a row is a pure function of (seed, index, step), never of its place in the batch. Arithmetic is float64, states are
 * float32. Stop iterating to cancel.
 * @throws {NorthlightError} `sampling/not-finite`, `sampling/shape`, `sampling/no-log-prob`.
 */
export async function* sampleLoop<C>(options: SampleLoopOptions<C>): AsyncGenerator<SampleStep, SampleResult> {
  const { denoiser, schedule, rows } = options;
  const { steps } = schedule;
  const size = numel(denoiser.dims);
  if (options.keepTrajectory) refuseWithoutLogProb(schedule);
  let samples = start(options, size);
  const trajectories = options.keepTrajectory ? rows.map(() => emptyTrajectory(options, size)) : undefined;
  trajectories?.forEach((t, row) => {
    t.states.set(samples.subarray(row * size, (row + 1) * size), 0);
  });
  const conditions = rows.map((row) => row.condition);
  const mean = new Float64Array(size);
  const z = new Float32Array(size);
  const remembered = Math.max(...steps.map((step) => step.past.length));
  /** Earlier evaluations, the latest first. */
  const past: { samples: Float32Array; output: Float32Array }[] = [];

  for (const [i, step] of steps.entries()) {
    const input = step.inputScale === 1 ? samples : samples.map((v) => v * step.inputScale);
    const output = await denoiser.predict(input, step.timestep, conditions);
    if (output.length !== samples.length) {
      throw new NorthlightError(
        'sampling/shape',
        `The model gave ${output.length} numbers for ${samples.length} at timestep ${step.timestep}.`,
        'Its output must have the shape of its input; inspect the model.',
      );
    }
    const next = new Float32Array(samples.length);
    const clean = isPreview(options.previewEvery, i) ? new Float32Array(samples.length) : null;
    for (const [row, { seed, index }] of rows.entries()) {
      const offset = row * size;
      if (step.std > 0) new Rng(seed).fork('noise', index, i).fillNormal(z);
      for (let d = 0; d < size; d++) {
        const x = samples[offset + d]!;
        const o = output[offset + d]!;
        const x0 = step.x0Sample * x + step.x0Output * o;
        const clamped = clamp(x0, schedule.clipSampleRange);
        let m = step.sample * x + step.output * o + step.x0Weight * (clamped - x0);
        for (let k = 0; k < step.past.length; k++) {
          const before = past[k]!;
          m += step.past[k]!.sample * before.samples[offset + d]! + step.past[k]!.output * before.output[offset + d]!;
        }
        mean[d] = m;
        next[offset + d] = step.std > 0 ? mean[d]! + step.std * z[d]! : mean[d]!;
        if (clean !== null) clean[offset + d] = clamped;
      }
      const state = next.subarray(offset, offset + size);
      if (!state.every(Number.isFinite)) throw notFinite(index, i, steps.length);
      const trajectory = trajectories?.[row];
      if (trajectory !== undefined) {
        trajectory.states.set(state, (i + 1) * size);
        // Of the float32 state as kept, not of the noise that led to it: training sees the same numbers.
        trajectory.logProbs[i] = gaussianLogProb(state, mean, step.std);
      }
    }
    if (remembered > 0) {
      past.unshift({ samples, output });
      past.length = Math.min(past.length, remembered);
    }
    samples = next;
    yield { step: i + 1, total: steps.length, timestep: step.timestep, samples, predOriginalSample: clean };
  }
  return trajectories === undefined ? { samples } : { samples, trajectories };
}

function start<C>(options: SampleLoopOptions<C>, size: number): Float32Array {
  const { rows, schedule, initialNoise } = options;
  const samples = new Float32Array(rows.length * size);
  if (initialNoise !== undefined && initialNoise.length !== samples.length) {
    throw new NorthlightError(
      'sampling/shape',
      `The starting noise has ${initialNoise.length} numbers; ${rows.length} samples of ${size} need ${samples.length}.`,
      'Give one unit-normal start per sample, in the shape of the model.',
    );
  }
  if (initialNoise !== undefined) samples.set(initialNoise);
  else for (const [row, own] of rows.entries()) samples.set(initialNoiseOf(own, size), row * size);
  if (schedule.initNoiseSigma !== 1) for (let i = 0; i < samples.length; i++) samples[i]! *= schedule.initNoiseSigma;
  return samples;
}

function emptyTrajectory<C>({ denoiser, schedule }: SampleLoopOptions<C>, size: number): Trajectory {
  const { steps } = schedule;
  return {
    dims: denoiser.dims,
    states: new Float32Array((steps.length + 1) * size),
    logProbs: new Float32Array(steps.length),
    steps,
  };
}

function refuseWithoutLogProb(schedule: GaussianSchedule): void {
  if (schedule.clipSampleRange !== null) {
    throw new NorthlightError(
      'sampling/no-log-prob',
      'This schedule clips the predicted sample, so its steps are not Gaussian in the model output.',
      'Set "clip_sample" to false in scheduler_config.json, or do not keep trajectories.',
    );
  }
  if (schedule.steps.some((step) => step.past.length > 0 || step.inputScale !== 1)) {
    throw new NorthlightError(
      'sampling/no-log-prob',
      `The sampler "${schedule.name}" keeps a memory or scales its input, so learning from its steps is not supported.`,
      'Keep trajectories with ddim or ddpm; flow models with flow-match-sde, flow-match-dance or flow-match-cps.',
    );
  }
  const flat = schedule.steps.find((step) => !(step.std > 0));
  if (flat !== undefined) {
    throw new NorthlightError(
      'sampling/no-log-prob',
      `The step at timestep ${flat.timestep} adds no noise, so it has no log-probability.`,
      'Keep trajectories with eta above 0 and a schedule whose last step keeps its noise.',
    );
  }
}

function clamp(value: number, range: number | null): number {
  return range === null ? value : Math.min(range, Math.max(-range, value));
}

function isPreview(every: number | undefined, i: number): boolean {
  return every !== undefined && every > 0 && (i + 1) % every === 0;
}

function notFinite(index: number, i: number, total: number): NorthlightError {
  return new NorthlightError(
    'sampling/not-finite',
    `Sample ${index} became infinite or not a number at step ${i + 1} of ${total}.`,
    'Lower the guidance scale or the adapter weight, or check the model on its own.',
  );
}
