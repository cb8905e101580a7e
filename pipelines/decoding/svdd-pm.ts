import { z } from 'zod';
import type { Decoding, DecodingAids, Score } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import { isBranched, svdd, svddOptions } from './svdd.ts';
import { predicted, predictedValue } from './value.ts';

export const svddPmOptions = svddOptions.extend({
  ...predicted,
  screen: z
    .int()
    .min(0)
    .max(1024)
    .default(0)
    .describe(
      'Candidates that are left after all were looked at as what the network said of their parent would make them, which costs rewards and ' +
        'no denoiser calls; 0: all',
    ),
});
export type SvddPmOptions = z.output<typeof svddPmOptions>;

/** SVDD with values from what candidates would become, Li et al. 2024 (arXiv:2408.08252), algorithm 4. */
export function svddPm<S, E>(chain: Chain<S, E>, score: Score, options: SvddPmOptions, aids?: DecodingAids): Decoding {
  return svdd(chain, predictedValue(chain, score, options, aids?.slope), score, options);
}

/** Calls for one sample, where every step but the last is random. */
export function svddPmWork(o: SvddPmOptions, steps: number): { denoiserCalls: number; rewardCalls: number } {
  const branched = Array.from({ length: steps }, (_, i) => i + 1 < steps && isBranched(i, steps, o));
  const screens = o.screen > 0 && o.screen < o.candidates;
  const asked = screens ? o.screen : o.candidates;
  const drawn = branched.map((b) => (b ? asked : 1));
  const looked = branched.reduce((n, b) => n + (b ? asked + (screens ? o.candidates : 0) : 0), 1);
  // What is drawn at a step is asked about before the next; a start is one.
  return { denoiserCalls: 1 + drawn.slice(0, -1).reduce((a, b) => a + b, 0), rewardCalls: looked };
}
