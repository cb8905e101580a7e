import type { ValueData } from './value-data.ts';
import { covarianceOf } from './value-statistics.ts';

/** The way of a sample is cut into so many parts of equal length. */
export const TRUSTED_PARTS = 8;
const partOf = (progress: number) => Math.min(TRUSTED_PARTS - 1, Math.floor(progress * TRUSTED_PARTS));

/**
 * How much of a guess comes true, by parts of the way: the slope of the final reward over the reward of the guess, of plain samples, within 0 … 1.
 * Early guesses are of samples as the model never makes them, and their rewards can be as large as they are wrong.
 */
export function trustOf({ states, rewards, plain }: ValueData): number[] {
  const known = states.filter((s) => s.wentOn && plain[s.sample] === 1);
  return Array.from({ length: TRUSTED_PARTS }, (_, part) => {
    const own = known.filter((s) => partOf(s.progress) === part);
    const guesses = own.map((s) => s.guessed);
    const ends = own.map((s) => rewards[s.sample]!);
    const spread = covarianceOf(guesses, guesses);
    return spread > 0 ? Math.min(1, Math.max(0, covarianceOf(guesses, ends) / spread)) : 0;
  });
}

export const trustAt = (trust: readonly number[], progress: number): number => trust[partOf(progress)]!;
