import { NorthlightError } from '#models/errors.ts';
import { Rng } from '#models/tensor/rng.ts';
import { numel } from '#models/tensor/tensor.ts';
import type { Denoiser } from '#pipelines/sampling/denoiser.ts';
import { gaussianMean, predictedClean } from '#pipelines/sampling/gaussian-step.ts';
import { initialNoiseOf, noised, notFinite, type SampleRow } from '#pipelines/sampling/loop.ts';
import type { NetworkSlope } from '#pipelines/sampling/steering.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';
import type { Chain } from './chain.ts';

/** States and answers are float32 `[D]`. */
export type GaussianChain = Chain<Float32Array, Float32Array>;

/**
 * A Gaussian sampler as a chain. Candidate 0 of every step makes what `sampleLoop` makes, byte for byte.
 * @throws {NorthlightError} `decode/not-markov` for solvers that remember earlier evaluations.
 */
export function gaussianChain<C>(
  denoiser: Denoiser<C>,
  schedule: GaussianSchedule,
  rows: readonly SampleRow<C>[],
  slope?: NetworkSlope<C>,
): GaussianChain {
  const { steps } = schedule;
  const size = numel(denoiser.dims);
  if (steps.some((step) => step.past.length > 0)) {
    throw new NorthlightError(
      'decode/not-markov',
      `The sampler "${schedule.name}" remembers earlier steps, so its samples cannot branch.`,
      'Use ddim with eta above 0, ddpm, euler-ancestral, lcm, or flow-match-sde.',
    );
  }
  const scratch = { mean: new Float64Array(size), clean: new Float64Array(size) };
  const z = new Float32Array(size);
  /** Candidates of one state share their mean: the last is kept. */
  let last: { readonly state: Float32Array; readonly said: Float32Array; readonly mean: Float64Array } | undefined;
  const meanOf = (i: number, state: Float32Array, said: Float32Array): Float64Array => {
    if (last?.said !== said || last.state !== state)
      last = { state, said, mean: gaussianMean(schedule, steps[i]!, state, said, scratch) };
    return last.mean;
  };
  const cleanOf = (i: number, state: Float32Array, said: Float32Array): Float32Array =>
    predictedClean(schedule, steps[i]!, state, said, new Float32Array(size));
  /** What the network is given: used again, as nothing is to look at it once it has answered. */
  let input = new Float32Array(0);
  return {
    rows: rows.length,
    steps: steps.length,
    timeless: false,
    isRandom: (i) => steps[i]!.std > 0,
    start(row) {
      const noise = initialNoiseOf(rows[row]!, size);
      for (let d = 0; d < size; d++) noise[d]! *= schedule.initNoiseSigma;
      return noise;
    },
    async evaluate(i, asked) {
      const step = steps[i]!;
      if (input.length < asked.length * size) input = new Float32Array(asked.length * size);
      for (const [k, { state }] of asked.entries()) {
        if (step.inputScale === 1) input.set(state, k * size);
        else for (let d = 0; d < size; d++) input[k * size + d] = state[d]! * step.inputScale;
      }
      const output = await denoiser.predict(
        input.subarray(0, asked.length * size),
        step.timestep,
        asked.map(({ row }) => rows[row]!.condition),
      );
      return asked.map((_, k) => output.subarray(k * size, (k + 1) * size));
    },
    draw(i, { row, state }, said, candidate) {
      const { std } = steps[i]!;
      const mean = meanOf(i, state, said);
      const { seed, index } = rows[row]!;
      const next = new Float32Array(size);
      if (std > 0) {
        const own = new Rng(seed).fork('noise', index, i);
        (candidate === 0 ? own : own.fork('candidate', candidate)).fillNormal(z);
      }
      if (!noised(mean, std, z, next)) throw notFinite(index, i, steps.length);
      return next;
    },
    guess: (i, { state }, said) => cleanOf(i, state, said),
    complete: () => null,
    relaxed: (i, { state }, said) => cleanOf(i, state, said),
    tilted(i, said, slope, spread) {
      const { x0Output } = steps[i]!;
      if (x0Output === 0) return said;
      const shift = varianceOf(steps[i]!, spread) / x0Output;
      return said.map((o, d) => o + shift * slope[d]!);
    },
    ...(slope && {
      async sloped(i, asked, spread) {
        const step = steps[i]!;
        const factor = slopeFactor(step, spread);
        const out: { said: Float32Array; slope: Float32Array }[] = [];
        for (const { row, state } of asked) {
          const { output, bySample, byClean } = await slope.ask(state, step, rows[row]!.condition);
          out.push({ said: output, slope: factor === null ? byClean : bySample.map((g) => factor * g) });
        }
        return out;
      },
    }),
    restart(i, _, sample, locked, rng) {
      const start = rng.fillNormal(new Float32Array(size));
      const at = (step: number, d: number) => {
        const { signal, noise } = steps[step] ?? { signal: 1, noise: 0 };
        return signal * sample[d]! + noise * start[d]!;
      };
      return {
        state: Float32Array.from(sample, (__, d) => at(i, d)),
        hold(step, next) {
          if (locked.size === 0) return next;
          return next.map((v, d) => (locked.has(d) ? at(step + 1, d) : v));
        },
      };
    },
    finished: (state) => state,
    featureDims: denoiser.dims,
    features(i, state) {
      const { signal, noise } = steps[i]!;
      const scale = 1 / Math.hypot(signal, noise);
      return state.map((v) => v * scale);
    },
    key: () => null,
    condition: (row) => rows[row]!.condition,
    rng: (row, ...labels) => new Rng(rows[row]!.seed).fork('decode', rows[row]!.index).fork(...labels),
  };
}

/** Variance of x₀ given x, for data of that spread: how far a slope of 1 at x̂₀ moves the posterior mean. */
const varianceOf = ({ signal, noise }: GaussianStep, spread: number) =>
  (spread * noise) ** 2 / ((spread * signal) ** 2 + noise ** 2);

/** Below this share of signal in a sample, the derivative of what a network guesses is more error than anything. */
const LEAST_SIGNAL = 0.05;

/**
 * A slope V of log p(x_t) moves the posterior mean by noise²/signal·V (Tweedie). In units of what a slope at x̂₀ moves it by, so that
 * Gaussian data of that spread get 1 / (∂x̂₀/∂x_t). Null: there is no signal to speak of.
 */
function slopeFactor(step: GaussianStep, spread: number): number | null {
  const { signal, noise } = step;
  if (signal < LEAST_SIGNAL * Math.hypot(signal, noise)) return null;
  return noise ** 2 / signal / varianceOf(step, spread);
}
