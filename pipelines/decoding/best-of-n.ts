import { z } from 'zod';
import type { Decoding, Score } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import { plain } from './plain.ts';

export const bestOfNOptions = z.object({
  candidates: z.int().min(1).max(4096).default(8).describe('Samples made for each one that is kept (N)'),
});
export type BestOfNOptions = z.output<typeof bestOfNOptions>;

/** Makes N samples and keeps the one with the highest reward. `candidates` neighbouring rows compete. */
export function bestOfN<S, E>(chain: Chain<S, E>, score: Score, { candidates }: BestOfNOptions): Decoding {
  return plain(chain, score, candidates);
}
