import type { Clean, Score } from '#pipelines/sampling/steering.ts';
import type { At, Chain } from './chain.ts';

/** What a search over one row wants to know next: what the network says of states before a step, or what samples are worth. */
export type Question<S> =
  | { readonly step: number; readonly states: readonly S[] }
  | { readonly samples: readonly Clean[] };

/** The answer to the last question: `said` or `rewards`, as was asked. */
export interface Answers<E> {
  readonly said: readonly E[];
  readonly rewards: Float64Array;
}

/** A search over one row, written as if it were alone. */
export type Search<S, E, R> = Generator<Question<S>, R, Answers<E>>;

/** What the network says of states that are about to take a step. */
export function* askNetwork<S, E>(step: number, states: readonly S[]): Search<S, E, readonly E[]> {
  return states.length === 0 ? [] : (yield { step, states }).said;
}

/** What samples are worth. */
export function* askReward<S, E>(samples: readonly Clean[]): Search<S, E, Float64Array> {
  return samples.length === 0 ? new Float64Array() : (yield { samples }).rewards;
}

/**
 * Runs one search for each row side by side: questions about the same step go to the network as one batch. Searches never learn of
 * one another. Yields after each round of answers.
 */
export async function* lockstep<S, E, R>(
  chain: Chain<S, E>,
  score: Score,
  searches: readonly Search<S, E, R>[],
): AsyncGenerator<undefined, R[]> {
  const results: R[] = [];
  let open = searches.map((search, row) => ({ row, search, next: search.next() }));
  for (;;) {
    for (const { row, next } of open) if (next.done) results[row] = next.value;
    open = open.filter(({ next }) => !next.done);
    if (open.length === 0) return results;
    const groups = Map.groupBy(open, ({ next }) => {
      const question = next.value as Question<S>;
      return 'step' in question ? question.step : 'reward';
    });
    for (const [what, group] of groups) {
      const answers = await answerAll(
        chain,
        score,
        what,
        group.map(({ row, next }) => ({ row, question: next.value as Question<S> })),
      );
      for (const [k, own] of group.entries()) own.next = own.search.next(answers[k]!);
    }
    yield;
  }
}

async function answerAll<S, E>(
  chain: Chain<S, E>,
  score: Score,
  what: number | 'reward',
  asked: readonly { readonly row: number; readonly question: Question<S> }[],
): Promise<Answers<E>[]> {
  if (what === 'reward') {
    const all = asked.flatMap(({ row, question }) =>
      'samples' in question ? question.samples.map((sample) => ({ row, sample })) : [],
    );
    const rewards = await score(
      all.map((a) => a.sample),
      all.map((a) => a.row),
    );
    return shares(asked, (from, to) => ({ said: [], rewards: rewards.slice(from, to) }));
  }
  const at = asked.flatMap(({ row, question }) =>
    'states' in question ? question.states.map((state): At<S> => ({ row, state })) : [],
  );
  const said = await chain.evaluate(what, at);
  return shares(asked, (from, to) => ({ said: said.slice(from, to), rewards: new Float64Array() }));
}

function shares<S, T>(
  asked: readonly { readonly question: Question<S> }[],
  part: (from: number, to: number) => T,
): T[] {
  let to = 0;
  return asked.map(({ question }) => {
    const from = to;
    to += 'states' in question ? question.states.length : question.samples.length;
    return part(from, to);
  });
}
