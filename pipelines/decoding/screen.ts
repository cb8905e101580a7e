import type { Clean, Score } from '#pipelines/sampling/steering.ts';
import type { At, Chain } from './chain.ts';
import { argmax, categorical, logMeanExp } from './weights.ts';

/** Candidates of a row that are worth a call of the network. */
export interface Screened<S> {
  readonly states: readonly S[];
  /** Log-weight of each, for having been chosen: their mean exp is 1 on average. Empty where nothing was screened. */
  readonly corrections: Float64Array;
}

/**
 * Looks at candidates as they would become by what the network said of their parent, which costs a reward each and no call, and keeps
 * `keep` of them. Categorical: drawn with replacement ∝ exp(u/α), and corrected for, so that importance weights stay exact; argmax: the best.
 */
export async function screened<S, E>(
  chain: Chain<S, E>,
  step: number,
  answers: readonly E[],
  sets: readonly S[][],
  score: Score,
  options: { readonly keep: number; readonly alpha: number; readonly select: 'categorical' | 'argmax' },
): Promise<Screened<S>[]> {
  const samples: Clean[] = [];
  const rows: number[] = [];
  const places = sets.map((states, row) => {
    const seen = new Map<string, number>();
    return states.map((state, m) => {
      const key = chain.key(state) ?? String(m);
      const place = seen.get(key) ?? samples.length;
      if (place === samples.length) {
        samples.push(chain.guess(step + 1, { row, state } satisfies At<S>, answers[row]!));
        rows.push(row);
      }
      seen.set(key, place);
      return place;
    });
  });
  const worth = await score(samples, rows);
  return sets.map((states, row) => {
    const own = Float64Array.from(places[row]!, (place) => worth[place]!);
    const { keep, alpha, select } = options;
    if (select === 'argmax')
      return { states: bestOf(own, keep).map((m) => states[m]!), corrections: new Float64Array() };
    const top = own[argmax(own)]!;
    const tilts = own.map((u) => (u - top) / alpha);
    const drawn = Array.from({ length: keep }, (_, k) => categorical(tilts, chain.rng(row, step, 'screen', k)));
    const mean = logMeanExp(tilts);
    return { states: drawn.map((m) => states[m]!), corrections: Float64Array.from(drawn, (m) => mean - tilts[m]!) };
  });
}

/** Places of the largest, as they were drawn where equal. */
function bestOf(values: Float64Array, count: number): number[] {
  return [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b).slice(0, count);
}
