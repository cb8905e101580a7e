import { z } from 'zod';
import type { Decoding, Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { argmax } from './weights.ts';

export const bestOfNOptions = z.object({
  candidates: z.int().min(1).max(4096).default(8).describe('Samples made for each one that is kept (N)'),
});
export type BestOfNOptions = z.output<typeof bestOfNOptions>;

/** Makes N samples and keeps the one with the highest reward (the first of a tie). `candidates` neighbouring rows compete. */
export async function* bestOfN<S, E>(chain: Chain<S, E>, score: Score, { candidates }: BestOfNOptions): Decoding {
  const { steps } = chain;
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  let states = rows.map(chain.start);
  let known: (E | undefined)[] = rows.map(() => undefined);
  for (let i = 0; i < steps; i++) {
    const at = rows.map((row): At<S> => ({ row, state: states[row]! }));
    const said = await askMissing(chain, i, at, known);
    const guess = (row: number) => chain.guess(i, at[row]!, said[row]!);
    states = at.map((a, row) => chain.draw(i, a, said[row]!, 0, false));
    known = at.map((a, row) => stillTrue(chain, a.state, states[row]!, said[row]!));
    yield { step: i + 1, total: steps, guess, values: rows.map(() => new Float64Array()), chosen: rows };
  }
  const samples = states.map(chain.finished);
  const rewards = await score(samples, rows);
  const winners = Array.from({ length: Math.ceil(rows.length / candidates) }, (_, group) => {
    const from = group * candidates;
    return from + argmax(rewards.subarray(from, from + candidates));
  });
  return {
    samples: winners.map((row) => samples[row]!),
    rewards: Float64Array.from(winners, (row) => rewards[row]!),
    logWeights: null,
  };
}
