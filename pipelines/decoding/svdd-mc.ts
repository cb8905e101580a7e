import { z } from 'zod';
import type { Decoded, DecodingStep, DecodingTarget, Score } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import { svdd, svddOptions } from './svdd.ts';
import { loadValueNetwork } from './value-network.ts';

export const svddMcOptions = svddOptions.extend({
  network: z.string().min(1).default('value').describe('Folder of the value network'),
});
export type SvddMcOptions = z.output<typeof svddMcOptions>;

/**
 * SVDD with the values of a trained network, Li et al. 2024 (arXiv:2408.08252), algorithm 3: candidates cost no denoiser call.
 * @param target what is steered; without it no network is known to belong to it.
 */
export async function* svddMc<S, E>(
  chain: Chain<S, E>,
  score: Score,
  options: SvddMcOptions,
  target: () => Promise<DecodingTarget> = async () => ({ modelHash: 'unknown', reward: 'unknown' }),
): AsyncGenerator<DecodingStep, Decoded> {
  const values = await loadValueNetwork(options.network, await target());
  try {
    return yield* svdd(chain, values.of(chain), score, options);
  } finally {
    await values.close();
  }
}
