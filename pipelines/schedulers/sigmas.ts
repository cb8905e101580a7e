import { NorthlightError } from '#models/errors.ts';
import { alphasCumprodOf, linspace } from './betas.ts';
import type { SchedulerConfig } from './config.ts';

/** Noise levels of one sampling run in the scaling x = x₀ + σ·ε, from noisy to clean. */
export interface SigmaGrid {
  /** One per step: what the network is asked at. */
  readonly timesteps: readonly number[];
  /** One per step and a last one, where the run ends. */
  readonly sigmas: readonly number[];
}

/** σ_t = √((1 − ᾱ_t)/ᾱ_t) of every training timestep, rising. */
export function trainingSigmas(config: SchedulerConfig): Float64Array {
  const smallest = 2 ** -24;
  // At zero terminal SNR the last σ would be infinite; the reference caps ᾱ there.
  return alphasCumprodOf(config).map((a) => Math.sqrt((1 - Math.max(a, smallest)) / Math.max(a, smallest)));
}

/** Value of a table at a position between its entries, held at both ends. */
export function interpolate(table: Float64Array, at: number): number {
  const x = Math.min(Math.max(at, 0), table.length - 1);
  const i = Math.min(Math.floor(x), table.length - 2);
  return i < 0 ? table[0]! : table[i]! + (x - i) * (table[i + 1]! - table[i]!);
}

/** The timestep at which the training noise level is `sigma`, between whole ones, linear in ln σ. */
export function timestepOfSigma(sigma: number, training: Float64Array): number {
  const wanted = Math.log(sigma);
  let low = 0;
  while (low < training.length - 2 && Math.log(training[low + 1]!) <= wanted) low++;
  const [a, b] = [Math.log(training[low]!), Math.log(training[low + 1]!)];
  return low + Math.min(1, Math.max(0, (wanted - a) / (b - a)));
}

/**
 * The grid that `use_*_sigmas` asks for, or the training noise levels at the given timesteps.
 * @param options.multistep solvers ask at whole timesteps, and shape the whole range of training noise.
 * @throws {NorthlightError} `scheduler/config` when two grids are asked for at once.
 */
export function sigmaGrid(
  config: SchedulerConfig,
  timesteps: readonly number[],
  options: { multistep?: boolean } = {},
): SigmaGrid {
  const training = trainingSigmas(config);
  const plain = timesteps.map((t) => levelAt(config, training, t));
  const last = config.final_sigmas_type === 'sigma_min' ? training[0]! : 0;
  const asked = (['use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas'] as const).filter((k) => config[k]);
  if (asked.length > 1) {
    throw new NorthlightError(
      'scheduler/config',
      `scheduler_config.json asks for ${asked.join(' and ')} at once.`,
      'Set all but one of them to false.',
    );
  }
  if (asked.length === 0) return { timesteps, sigmas: [...plain, last] };
  const [least, most] = options.multistep ? [training[0]!, training.at(-1)!] : [plain.at(-1)!, plain[0]!];
  const low = config.sigma_min ?? least;
  const high = config.sigma_max ?? most;
  const shaped = curve(asked[0]!, low, high, timesteps.length);
  const round = options.multistep ? roundHalfEven : Number;
  return { timesteps: shaped.map((s) => round(timestepOfSigma(s, training))), sigmas: [...shaped, last] };
}

function levelAt(config: SchedulerConfig, training: Float64Array, t: number): number {
  return config.interpolation_type === 'log_linear'
    ? Math.exp(interpolate(training.map(Math.log), t))
    : interpolate(training, t);
}

function curve(kind: string, low: number, high: number, n: number): number[] {
  const ramp = [...linspace(0, 1, n)];
  switch (kind) {
    // Karras et al. 2022 (arXiv:2206.00364), eq. 5, ρ = 7.
    case 'use_karras_sigmas':
      return ramp.map((r) => (high ** (1 / 7) + r * (low ** (1 / 7) - high ** (1 / 7))) ** 7);
    case 'use_exponential_sigmas':
      return ramp.map((r) => Math.exp(Math.log(high) + r * (Math.log(low) - Math.log(high))));
    // Lee et al. 2024 (arXiv:2407.12173): quantiles of Beta(0.6, 0.6), densest at both ends.
    default:
      return ramp.map((r) => low + betaQuantile(1 - r, 0.6) * (high - low));
  }
}

/** Quantile of the symmetric Beta(a, a) law, by bisection of its distribution function. */
function betaQuantile(p: number, a: number): number {
  if (p <= 0 || p >= 1) return p <= 0 ? 0 : 1;
  // x = sin²(φ) takes the singularities at both ends away: dF ∝ (sin φ · cos φ)^(2a − 1) dφ.
  const density = (phi: number) => (Math.sin(phi) * Math.cos(phi)) ** (2 * a - 1);
  const cells = 2000;
  const width = Math.PI / 2 / cells;
  const sums = new Float64Array(cells + 1);
  for (let i = 0; i < cells; i++) sums[i + 1] = sums[i]! + density((i + 0.5) * width);
  const target = p * sums[cells]!;
  let i = 0;
  while (i < cells - 1 && sums[i + 1]! < target) i++;
  const phi = (i + (target - sums[i]!) / (sums[i + 1]! - sums[i]!)) * width;
  return Math.sin(phi) ** 2;
}

export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}
