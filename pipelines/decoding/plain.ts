import type { Decoded, DecodingStep, Rival, Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { argmax } from './weights.ts';

/**
 * Every row to its end as the model makes it, and of every `n` neighbours the one with the highest reward, the first of a tie.
 * @param predicted what is known of the reward of the guess that a row's last step began with; null: nothing, as it costs a call.
 */
export async function* plain<S, E>(
  chain: Chain<S, E>,
  score: Score,
  n = 1,
  predicted: (row: number) => number | null = () => null,
): AsyncGenerator<DecodingStep, Decoded> {
  const { steps } = chain;
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  const told = { total: steps, values: rows.map(() => new Float64Array()) };
  let states = rows.map(chain.start);
  let known: (E | undefined)[] = rows.map(() => undefined);
  for (let i = 0; i < steps; i++) {
    const at = rows.map((row): At<S> => ({ row, state: states[row]! }));
    const said = await askMissing(chain, i, at, known);
    const guess = (row: number) => chain.guess(i, at[row]!, said[row]!);
    states = at.map((a, row) => chain.draw(i, a, said[row]!, 0, false));
    known = at.map((a, row) => stillTrue(chain, a.state, states[row]!, said[row]!));
    const parentOf = (row: number) => (i === 0 ? null : n === 1 ? 0 : row);
    if (i + 1 < steps) {
      const rivals = (row: number): Rival[] => [
        { value: predicted(row), parent: parentOf(row), wentOn: true, guess: () => guess(row) },
      ];
      yield { ...told, step: i + 1, guess, chosen: rows, rivals };
      continue;
    }
    const samples = states.map(chain.finished);
    const rewards = await score(samples, rows);
    const winners = winnersOf(rewards, n);
    const winnerOf = (row: number) => winners[Math.floor(row / n)]!;
    const rivals = (row: number): Rival[] => [
      { value: rewards[row]!, parent: parentOf(row), wentOn: row === winnerOf(row), guess: () => samples[row]! },
    ];
    yield { ...told, step: steps, guess, chosen: n === 1 ? rows : rows.map(winnerOf), rivals };
    return bestOfEach({ samples, rewards }, n);
  }
  throw new RangeError('A sampler has at least one step.');
}

/** Of every `n` neighbours the one with the highest reward, the first of a tie. */
export function bestOfEach({ samples, rewards }: Pick<Decoded, 'samples' | 'rewards'>, n: number): Decoded {
  const winners = winnersOf(rewards, n);
  return {
    samples: winners.map((row) => samples[row]!),
    rewards: Float64Array.from(winners, (row) => rewards[row]!),
    logWeights: null,
  };
}

function winnersOf(rewards: Float64Array, n: number): number[] {
  return Array.from({ length: Math.ceil(rewards.length / n) }, (_, group) => {
    const from = group * n;
    return from + argmax(rewards.subarray(from, from + n));
  });
}
