import { NorthlightError } from '#models/errors.ts';
import { Rng } from '#models/tensor/rng.ts';
import { numel } from '#models/tensor/tensor.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';
import type { Denoiser } from './denoiser.ts';
import { gaussianMean, gaussianMoments } from './gaussian-step.ts';
import { type KnownPart, keepKnown, noisedStart } from './image-to-image.ts';
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
  /** Clean samples `[B, ...dims]` to start from, with noise up to the level of the first step; absent: noise alone. */
  readonly start?: Float32Array;
  /** What of clean samples stays as it is. */
  readonly known?: KnownPart;
  /** Needs σ > 0 at every step and no clipping. */
  readonly keepTrajectory: boolean;
  /** Give the predicted clean sample every so many steps; absent: never. */
  readonly previewEvery?: number;
}

/** After each step. Arrays are `[B, ...dims]`. */
export interface SampleStep {
  /** 1 … total. */
  readonly step: number;
  readonly total: number;
  readonly timestep: number;
  /** Overwritten by later steps: copy what is to last. */
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
 * What is known is put back after every step, at the level of noise that is then left, with the row's initial noise.
 * The noise of a row is a pure function of (seed, index, step), never of its place in the batch. Arithmetic is float64, states are
 * float32. Stop iterating to cancel.
 * @throws {NorthlightError} `sampling/not-finite`, `sampling/shape`, `sampling/no-log-prob`.
 */
export async function* sampleLoop<C>(options: SampleLoopOptions<C>): AsyncGenerator<SampleStep, SampleResult> {
  const { denoiser, schedule, rows } = options;
  const { steps } = schedule;
  const size = numel(denoiser.dims);
  if (options.keepTrajectory) refuseWithoutLogProb(schedule, options.known !== undefined);
  const initial = initialNoise(options, size);
  let samples = start(options, initial);
  const trajectories = options.keepTrajectory ? rows.map(() => emptyTrajectory(options, size)) : undefined;
  trajectories?.forEach((t, row) => {
    t.states.set(samples.subarray(row * size, (row + 1) * size), 0);
  });
  const conditions = rows.map((row) => row.condition);
  const scratch = { mean: new Float64Array(size), clean: new Float64Array(size) };
  const z = new Float32Array(size);
  const remembered = Math.max(...steps.map((step) => step.past.length));
  /** What the network says is needed for one step only, unless a solver remembers it. */
  const answers = remembered > 0 ? undefined : new Float32Array(samples.length);
  /** Earlier evaluations, the latest first. */
  const past: { samples: Float32Array; output: Float32Array }[] = [];
  /** Whether nobody asks for the mean of a step, so that it need not be kept. */
  const atOnce =
    !options.keepTrajectory &&
    remembered === 0 &&
    schedule.clipSampleRange === null &&
    schedule.dynamicThreshold === null;
  /** States take turns in two arrays, unless a solver remembers them. */
  let spare: Float32Array | null = null;

  for (const [i, step] of steps.entries()) {
    const input = step.inputScale === 1 ? samples : samples.map((v) => v * step.inputScale);
    const output = await denoiser.predict(input, step.timestep, conditions, answers);
    if (output.length !== samples.length) {
      throw new NorthlightError(
        'sampling/shape',
        `The model gave ${output.length} numbers for ${samples.length} at timestep ${step.timestep}.`,
        'Its output must have the shape of its input; inspect the model.',
      );
    }
    const next = spare ?? new Float32Array(samples.length);
    const clean = isPreview(options.previewEvery, i) ? new Float32Array(samples.length) : null;
    for (const [row, { seed, index }] of rows.entries()) {
      const offset = row * size;
      if (step.std > 0) new Rng(seed).fork('noise', index, i).fillNormal(z);
      const own = samples.subarray(offset, offset + size);
      const said = output.subarray(offset, offset + size);
      const state = next.subarray(offset, offset + size);
      if (atOnce && clean === null) {
        if (!stepped(step, own, said, z, state)) throw notFinite(index, i, steps.length);
        continue;
      }
      let mean: Float64Array;
      if (clean) {
        const moments = gaussianMoments(schedule, step, own, said, scratch);
        clean.set(moments.clean, offset);
        mean = moments.mean;
      } else mean = gaussianMean(schedule, step, own, said, scratch);
      for (const [k, { sample, output: share }] of step.past.entries()) {
        const before = past[k]!;
        for (let d = 0; d < size; d++) {
          mean[d]! += sample * before.samples[offset + d]! + share * before.output[offset + d]!;
        }
      }
      if (!noised(mean, step.std, z, state)) throw notFinite(index, i, steps.length);
      const trajectory = trajectories?.[row];
      if (trajectory !== undefined) {
        trajectory.states.set(state, (i + 1) * size);
        // Of the float32 state as kept, not of the noise that led to it: training sees the same numbers.
        trajectory.logProbs[i] = gaussianLogProb(state, mean, step.std);
      }
    }
    if (options.known) {
      // The last step leads to a clean sample, whatever trace of noise its solver leaves.
      const { signal, noise } = steps[i + 1] ?? { signal: 1, noise: 0 };
      keepKnown(next, options.known, initial, signal, noise);
      if (clean) keepKnown(clean, options.known, initial, 1, 0);
    }
    if (remembered === 0) spare = samples;
    else {
      past.unshift({ samples, output });
      past.length = Math.min(past.length, remembered);
    }
    samples = next;
    yield { step: i + 1, total: steps.length, timestep: step.timestep, samples, predOriginalSample: clean };
  }
  return trajectories === undefined ? { samples } : { samples, trajectories };
}

/** Unit normal `[B, ...dims]`: what was given, or the rows' own. */
function initialNoise<C>({ rows, initialNoise: given }: SampleLoopOptions<C>, size: number): Float32Array {
  const noise = new Float32Array(rows.length * size);
  if (given !== undefined && given.length !== noise.length) {
    throw new NorthlightError(
      'sampling/shape',
      `The starting noise has ${given.length} numbers; ${rows.length} samples of ${size} need ${noise.length}.`,
      'Give one unit-normal start per sample, in the shape of the model.',
    );
  }
  if (given !== undefined) noise.set(given);
  else for (const [row, own] of rows.entries()) noise.set(initialNoiseOf(own, size), row * size);
  return noise;
}

function start<C>({ schedule, start: clean, known }: SampleLoopOptions<C>, noise: Float32Array): Float32Array {
  const [first] = schedule.steps;
  const samples = clean ? noisedStart(clean, noise, first) : noise.map((z) => z * schedule.initNoiseSigma);
  if (known) keepKnown(samples, known, noise, first?.signal ?? 1, first?.noise ?? 0);
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

function refuseWithoutLogProb(schedule: GaussianSchedule, known: boolean): void {
  if (known) {
    throw new NorthlightError(
      'sampling/no-log-prob',
      'Part of the picture is put back after every step, so its steps have no log-probability.',
      'Leave the mask out, or do not keep trajectories.',
    );
  }
  if (schedule.clipSampleRange !== null || schedule.dynamicThreshold !== null) {
    const key = schedule.dynamicThreshold !== null ? 'thresholding' : 'clip_sample';
    throw new NorthlightError(
      'sampling/no-log-prob',
      'This schedule clips the predicted sample, so its steps are not Gaussian in the model output.',
      `Set "${key}" to false in scheduler_config.json, or do not keep trajectories.`,
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

function isPreview(every: number | undefined, i: number): boolean {
  return every !== undefined && every > 0 && (i + 1) % every === 0;
}

/** Writes `sample·x + output·modelOutput + std·z` to `state`, as {@link noised} of the mean would. @returns whether all of it is finite. */
function stepped(
  step: GaussianStep,
  x: Float32Array,
  said: Float32Array,
  z: Float32Array,
  state: Float32Array,
): boolean {
  const { sample, output, std } = step;
  let sum = 0;
  for (let d = 0; d < state.length; d++) {
    const mean = sample * x[d]! + output * said[d]!;
    const next = Math.fround(std > 0 ? mean + std * z[d]! : mean);
    state[d] = next;
    sum += next - next;
  }
  return sum === 0;
}

/** Writes `mean + std·z` to `state`. @returns whether all of it is finite. */
export function noised(mean: Float64Array, std: number, z: Float32Array, state: Float32Array): boolean {
  // x − x is 0 for a number, and no number for the rest.
  let sum = 0;
  if (std > 0) {
    for (let d = 0; d < state.length; d++) {
      const x = Math.fround(mean[d]! + std * z[d]!);
      state[d] = x;
      sum += x - x;
    }
  } else {
    for (let d = 0; d < state.length; d++) {
      const x = Math.fround(mean[d]!);
      state[d] = x;
      sum += x - x;
    }
  }
  return sum === 0;
}

/** The error of a chain that left the numbers. */
export function notFinite(index: number, i: number, total: number): NorthlightError {
  return new NorthlightError(
    'sampling/not-finite',
    `Sample ${index} became infinite or not a number at step ${i + 1} of ${total}.`,
    'Lower the guidance scale or the adapter weight, or check the model on its own.',
  );
}
