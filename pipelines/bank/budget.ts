import type { DecodingWork } from '#pipelines/decoding/index.ts';
import { alphaForKl } from './alpha.ts';
import { type BestOf, bestOf, bestOfKl } from './best-of.ts';
import { type Groups, tilt } from './tilt.ts';

/** What N times the denoiser calls of plain sampling are expected to give. */
export interface Rung {
  readonly times: number;
  /** Best of N: exact for these samples, by order statistics. Null where a prompt has fewer than N. */
  readonly bestOf: BestOf | null;
  /**
   * The largest mean reward of anything that is as far from plain samples as the best of N, ln N − (N − 1)/N nats: the tilt at the
   * α of that distance. An estimate for methods other than best-of-N, not a promise: they may use their calls worse, or go further.
   * Null where the samples cannot show it.
   */
  readonly atSameDistance: (BestOf & { readonly alpha: number }) | null;
}

export const RUNGS = [1, 2, 4, 8, 16, 32, 64] as const;

/** Extra work and what it is expected to give, from the rewards of a bank. */
export function ladder(groups: Groups, times: readonly number[] = RUNGS): Rung[] {
  return times.map((n) => ({ times: n, bestOf: bestOf(groups, n), atSameDistance: farthest(groups, n) }));
}

function farthest(groups: Groups, n: number): Rung['atSameDistance'] {
  const alpha = n === 1 ? Number.POSITIVE_INFINITY : alphaForKl(groups, bestOfKl(n));
  if (alpha === null) return null;
  const { mean, ess, reliable } = tilt(groups, alpha);
  return { alpha, mean, ess, reliable };
}

/** How much a method may do for a given number of denoiser calls. */
export interface Affordable extends DecodingWork {
  /** Candidates, particles or what the method counts. */
  readonly count: number;
}

/** More candidates than this are for people who say so. */
const MOST = 256;

/**
 * The most that a method can count for at most `calls` denoiser calls per sample; null where even one is too much.
 * @param work of one sample with so many; grows with them.
 */
export function affordable(work: (count: number) => DecodingWork, calls: number): Affordable | null {
  let [low, high] = [0, MOST + 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (work(middle).denoiserCalls <= calls) low = middle;
    else high = middle;
  }
  return low === 0 ? null : { count: low, ...work(low) };
}
