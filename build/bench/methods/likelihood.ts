import type { Rng } from '#models/tensor/rng.ts';
import type { Denoiser } from '#pipelines/sampling/denoiser.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';

/** Logarithms of signal² / noise² between which the integral is taken: almost noise alone … less noise than 8 bits round away. */
const NOISIEST = -6;
const CLEANEST = 8;

/**
 * Approximate log-likelihood of a sample in nats per number: −½ ∫ E‖ε − ε̂‖² dλ / D over the logarithm λ of the signal-to-noise ratio
 * (the bound of Kingma et al. 2021, arXiv:2107.00630, eq. 18), by `levels` midpoints, at the nearest timesteps, with one draw of
 * noise each; without what lies outside of the range, which is nearly the same for all samples. It tells samples of one
 * model apart and no models.
 * @param schedule of all timesteps the model knows. @param sample `[D]`.
 */
export async function pictureLogLikelihood<C>(
  denoiser: Denoiser<C>,
  schedule: GaussianSchedule,
  sample: Float32Array,
  condition: C,
  levels: number,
  rng: Rng,
): Promise<number> {
  const width = (CLEANEST - NOISIEST) / levels;
  const size = sample.length;
  let sum = 0;
  for (let level = 0; level < levels; level++) {
    const wanted = NOISIEST + (level + 0.5) * width;
    const { signal, noise, timestep, inputScale, x0Sample, x0Output } = nearest(schedule, wanted);
    const z = rng.fork(level).fillNormal(new Float32Array(size));
    const noisy = sample.map((x, i) => signal * x + noise * z[i]!);
    const output = await denoiser.predict(
      noisy.map((x) => x * inputScale),
      timestep,
      [condition],
    );
    let squares = 0;
    for (let i = 0; i < size; i++) {
      const clean = x0Sample * noisy[i]! + x0Output * output[i]!;
      squares += (z[i]! - (noisy[i]! - signal * clean) / noise) ** 2;
    }
    sum -= (width * squares) / 2;
  }
  return sum / size;
}

function nearest({ steps }: GaussianSchedule, logRatio: number) {
  const away = (signal: number, noise: number) => Math.abs(2 * Math.log(signal / noise) - logRatio);
  return steps.reduce((best, step) => (away(step.signal, step.noise) < away(best.signal, best.noise) ? step : best));
}
