import type { Decoded, DecodingStep, Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { argmax } from './weights.ts';

/** Every row to its end as the model makes it, with its reward. */
export async function* plain<S, E>(chain: Chain<S, E>, score: Score): AsyncGenerator<DecodingStep, Decoded> {
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
  return { samples, rewards, logWeights: null };
}

/** Of every `n` neighbours the one with the highest reward, the first of a tie. */
export function bestOfEach({ samples, rewards }: Decoded, n: number): Decoded {
  const winners = Array.from({ length: Math.ceil(samples.length / n) }, (_, group) => {
    const from = group * n;
    return from + argmax(rewards.subarray(from, from + n));
  });
  return {
    samples: winners.map((row) => samples[row]!),
    rewards: Float64Array.from(winners, (row) => rewards[row]!),
    logWeights: null,
  };
}
