import { NorthlightError } from '#models/errors.ts';
import type { GaussianStep } from '#pipelines/schedulers/types.ts';

/**
 * Steps left out at the noisy end when sampling starts from a picture: all but ⌊steps·strength⌋, as in the published
 * image-to-image pipelines. Meng et al. 2021, SDEdit (arXiv:2108.01073), algorithm 1, with t₀ = strength.
 * @param strength 0 leaves the picture as it is; 1 runs every step.
 * @throws {NorthlightError} `sampling/strength`
 */
export function skippedSteps(steps: number, strength: number): number {
  if (!(strength >= 0 && strength <= 1)) {
    throw new NorthlightError('sampling/strength', `The strength is ${strength}.`, 'Use a number from 0 to 1.');
  }
  return steps - Math.min(steps, Math.floor(steps * strength));
}

/**
 * Clean samples with noise up to the level of a step, `signal·x₀ + noise·ε`; the samples themselves where no step is left.
 * @param clean `[B, D]`; `noise`: unit normal, as many.
 * @throws {NorthlightError} `sampling/shape`
 */
export function noisedStart(clean: Float32Array, noise: Float32Array, first: GaussianStep | undefined): Float32Array {
  sameLength(clean, noise);
  if (first === undefined) return clean.slice();
  return clean.map((x, i) => first.signal * x + first.noise * noise[i]!);
}

/** The part of clean samples that stays. */
export interface KnownPart {
  /** `[B, D]` */
  readonly clean: Float32Array;
  /** `[B, D]`: 1 where the sample may change, 0 where it stays, between them a blend. */
  readonly change: Float32Array;
}

/**
 * Puts what is known back into `samples`, in place, at a level of noise: x ← change·x + (1 − change)·(signal·x₀ + noise·ε).
 * Lugmayr et al. 2022, RePaint (arXiv:2201.09865), eq. 8. Deviation: ε is one draw per sample, so that the known part of a
 * deterministic solver moves along one path, as in the published inpainting pipelines; and there is no resampling.
 */
export function keepKnown(
  samples: Float32Array,
  { clean, change }: KnownPart,
  epsilon: Float32Array,
  signal: number,
  noise: number,
): void {
  sameLength(clean, samples);
  sameLength(change, samples);
  for (let i = 0; i < samples.length; i++) {
    const m = change[i]!;
    // What stays is copied, not added to zero times something that may be infinite.
    if (m === 1) continue;
    const kept = signal * clean[i]! + noise * epsilon[i]!;
    samples[i] = m === 0 ? kept : m * samples[i]! + (1 - m) * kept;
  }
}

function sameLength(clean: Float32Array, samples: Float32Array): void {
  if (clean.length === samples.length) return;
  throw new NorthlightError(
    'sampling/shape',
    `The starting picture has ${clean.length} numbers; ${samples.length} are needed.`,
    'Give one clean sample per picture to make, in the shape of the model.',
  );
}
