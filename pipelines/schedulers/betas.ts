import { NorthlightError } from '#models/errors.ts';
import type { SchedulerConfig } from './config.ts';

/** `n` evenly spaced numbers from `start` to `end`, both included; `[start]` for n = 1. */
export function linspace(start: number, end: number, n: number): Float64Array {
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) out[i] = n === 1 ? start : start + ((end - start) * i) / (n - 1);
  return out;
}

/** Variances β_t of the forward process, length `num_train_timesteps`, before any zero-SNR rescaling. */
function betasOf(config: SchedulerConfig): Float64Array {
  const n = config.num_train_timesteps;
  if (config.trained_betas !== null) {
    if (config.trained_betas.length !== n) {
      throw new NorthlightError(
        'scheduler/config',
        `trained_betas has ${config.trained_betas.length} entries, but num_train_timesteps is ${n}.`,
        'Correct scheduler_config.json so that both agree.',
      );
    }
    return Float64Array.from(config.trained_betas);
  }
  switch (config.beta_schedule) {
    case 'linear':
      return linspace(config.beta_start, config.beta_end, n);
    case 'scaled_linear':
      return linspace(Math.sqrt(config.beta_start), Math.sqrt(config.beta_end), n).map((b) => b * b);
    case 'squaredcos_cap_v2':
      return squaredCosine(n);
  }
}

/** Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 17: ᾱ(t) = cos²((t + .008)/1.008 · π/2), β capped at .999. */
function squaredCosine(n: number): Float64Array {
  const alphaBar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float64Array.from({ length: n }, (_, i) => Math.min(1 - alphaBar((i + 1) / n) / alphaBar(i / n), 0.999));
}

/**
 * ᾱ_t = Π (1 − β_s), decreasing, length `num_train_timesteps`. With `rescale_betas_zero_snr`, √ᾱ is shifted and scaled so
 * that the last is 0 and the first is kept: Lin et al. 2023 (arXiv:2305.08891), algorithm 1.
 */
export function alphasCumprodOf(config: SchedulerConfig): Float64Array {
  const betas = betasOf(config);
  const out = new Float64Array(betas.length);
  // The reference keeps the cosine table in float32 whatever else it runs in. Where ᾱ ≈ 1 that rounding moves 1 − ᾱ by up to
  // one part in a thousand, and models were trained with it.
  const round = config.trained_betas === null && config.beta_schedule === 'squaredcos_cap_v2' ? Math.fround : Number;
  let product = 1;
  for (let t = 0; t < betas.length; t++) {
    product = round(product * round(1 - round(betas[t]!)));
    out[t] = product;
  }
  if (!config.rescale_betas_zero_snr) return out;
  const first = Math.sqrt(out[0]!);
  const last = Math.sqrt(out[out.length - 1]!);
  return out.map((a) => (((Math.sqrt(a) - last) * first) / (first - last)) ** 2);
}
