import { z } from 'zod';
import type { Decoded, DecodingAids, DecodingStep, Score } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import { svdd, svddOptions } from './svdd.ts';
import { loadValueNetwork } from './value-network.ts';

export const svddMcOptions = svddOptions.extend({
  alpha: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe('Temperature; default: the one the network was trained for'),
  value: z.string().min(1).default('value').describe('Folder of the value network, made by: northlight value train'),
});
export type SvddMcOptions = z.output<typeof svddMcOptions>;

/**
 * SVDD with the values of a trained network, Li et al. 2024 (arXiv:2408.08252), algorithm 3: candidates cost no denoiser call.
 * @param aids say what is steered; without that no network is known to belong to it.
 */
export async function* svddMc<S, E>(
  chain: Chain<S, E>,
  score: Score,
  options: SvddMcOptions,
  { target = async () => ({ modelHash: 'unknown', reward: 'unknown' }), valueCalls }: DecodingAids = {},
): AsyncGenerator<DecodingStep, Decoded> {
  const values = await loadValueNetwork(options.value, await target());
  try {
    const alpha = options.alpha ?? values.card.alpha;
    const value = values.of(chain);
    const counted: typeof value = {
      ...value,
      values(...asked) {
        if (valueCalls) valueCalls.count += asked[1].length;
        return value.values(...asked);
      },
    };
    return yield* svdd(chain, counted, score, { ...options, alpha });
  } finally {
    await values.close();
  }
}
