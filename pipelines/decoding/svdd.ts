import { z } from 'zod';
import type { Decoding, Rival, Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { screened } from './screen.ts';
import type { ValueFunction } from './value.ts';
import { argmax, categorical, logMeanExp } from './weights.ts';

export const svddOptions = z.object({
  candidates: z.int().min(1).max(1024).default(10).describe('Candidates of each sample at each step (M)'),
  alpha: z.number().gt(0).default(0.1).describe('Temperature: samples follow p·exp(r/α). Unused by argmax'),
  select: z
    .enum(['categorical', 'argmax'])
    .default('categorical')
    .describe('categorical follows the target and keeps weights; argmax is what released code does: α → 0'),
  branchFrom: z.number().min(0).max(1).default(0).describe('Share of the steps after which candidates are drawn'),
  branchTo: z.number().min(0).max(1).default(1).describe('Share of the steps up to which candidates are drawn'),
  sharedReveal: z
    .boolean()
    .default(true)
    .describe('Sequences: all candidates of a step reveal the same positions, so that they differ in letters only'),
  replace: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe('Share of the worst samples replaced by better ones after each step (SVDD-R). Gives up weights'),
});
export type SvddOptions = z.output<typeof svddOptions>;

/** Whether candidates are drawn at this step, 0 … steps − 1. */
export const isBranched = (i: number, steps: number, { candidates, branchFrom, branchTo }: SvddOptions): boolean =>
  candidates > 1 && i >= Math.floor(branchFrom * steps) && i < Math.ceil(branchTo * steps);

/**
 * Soft value-based decoding, Li et al. 2024 (arXiv:2408.08252), algorithm 1: at each step draw M candidates from the model, go
 * on with one of them, chosen with probability ∝ exp(v̂/α). Chains never interact (unless `replace`), so diversity is kept.
 *
 * Weights (categorical): log W = r(x₀)/α + Σ over branched steps of [ log mean exp(v̂/α) − v̂(chosen)/α ]. Nested importance sampling is
 * properly weighted: E[W] = Z and E[W f] / Z = E_{p*}[f] for any M ≥ 1 and any v̂ (the paper has no weights).
 * The chosen candidate's call of the network is the next step's; equal candidates are asked about once.
 */
export async function* svdd<S, E>(
  chain: Chain<S, E>,
  value: ValueFunction<S, E>,
  score: Score,
  options: SvddOptions & { readonly screen?: number },
): Decoding {
  const { steps } = chain;
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  const weighted = options.select === 'categorical' && options.replace === 0;
  const logWeights = new Float64Array(chain.rows);
  let states = rows.map(chain.start);
  let said: (E | undefined)[] = rows.map(() => undefined);
  /** Not a number where the last step had nothing to choose from. */
  const rewards = new Float64Array(chain.rows).fill(Number.NaN);
  /** Which candidate of the last comparison each row comes from. */
  let origins: (number | null)[] = rows.map(() => null);

  for (let i = 0; i < steps; i++) {
    const at = rows.map((row): At<S> => ({ row, state: states[row]! }));
    const answers = await askMissing(chain, i, at, said);
    const guess = (row: number) => chain.guess(i, at[row]!, answers[row]!);
    const branched = chain.isRandom(i) && isBranched(i, steps, options);
    if (!branched) {
      states = rows.map((row) => chain.draw(i, at[row]!, answers[row]!, 0, false));
      said = rows.map((row) => stillTrue(chain, at[row]!.state, states[row]!, answers[row]!));
      yield {
        step: i + 1,
        total: steps,
        guess,
        values: rows.map(() => new Float64Array()),
        chosen: rows.map(() => 0),
      };
      continue;
    }
    const drawn = rows.map((row) => candidatesOf(chain, i, at[row]!, answers[row]!, options));
    const { screen: keep = 0 } = options;
    // The last step's candidates are finished: they cost no call.
    const few = keep > 0 && keep < options.candidates && i + 1 < steps && value.asksNetwork;
    const kept = few ? await screened(chain, i, answers, drawn, score, { ...options, keep }) : null;
    const sets = kept ? kept.map(({ states }) => [...states]) : drawn;
    const next = await appraise(chain, i, at, answers, sets, value, score);
    const chosen = next.values.map((values, row) => {
      const corrections = kept?.[row]?.corrections ?? new Float64Array();
      if (values.length < 2) {
        // All the same, so that their value cancels.
        if (corrections.length > 0) logWeights[row]! += logMeanExp(corrections);
        return 0;
      }
      if (options.select === 'argmax') return argmax(values);
      const tilts = tilted(values, options.alpha);
      const s = corrections.length > 0 ? tilts.map((t, m) => t + corrections[m]!) : tilts;
      const choice = categorical(s, chain.rng(row, i, 'select'));
      logWeights[row]! += logMeanExp(s) - tilts[choice]!;
      return choice;
    });
    const parents = options.replace > 0 ? replaceWorst(chain, i, next.values, chosen, options) : rows;
    states = parents.map((p) => sets[p]![chosen[p]!]!);
    said = parents.map((p) => next.said[p]![chosen[p]!]);
    if (i + 1 === steps)
      for (const [row, p] of parents.entries()) rewards[row] = next.values[p]![chosen[p]!] ?? Number.NaN;
    const before = origins;
    const rivals = (row: number) => {
      const on = parents.includes(row) ? chosen[row]! : null;
      return rivalsOf(chain, i + 1, sets[row]!, next, row, on, before[row]!);
    };
    yield { step: i + 1, total: steps, guess, values: next.values, chosen, rivals };
    origins = rows.map((row) => {
      if (parents[row] !== row) return null;
      return next.values[row]!.length === 0 ? before[row]! : chosen[row]!;
    });
  }
  const samples = states.map(chain.finished);
  const unknown = rows.filter((row) => Number.isNaN(rewards[row]));
  if (unknown.length > 0) {
    const found = await score(
      unknown.map((row) => samples[row]!),
      unknown,
    );
    for (const [k, row] of unknown.entries()) rewards[row] = found[k]!;
  }
  if (weighted) for (const row of rows) logWeights[row]! += rewards[row]! / options.alpha;
  return { samples, rewards, logWeights: weighted ? logWeights : null };
}

/** What competed for a row, about to take `step`. @param wentOn null: another row took its place. */
function rivalsOf<S, E>(
  chain: Chain<S, E>,
  step: number,
  states: readonly S[],
  { values, said }: Appraisal<E>,
  row: number,
  wentOn: number | null,
  parent: number | null,
): Rival[] {
  return Array.from(values[row]!, (value, m) => ({
    value,
    parent,
    wentOn: m === wentOn,
    guess() {
      const state = states[m]!;
      if (step === chain.steps) return chain.finished(state);
      const answer = said[row]![m];
      return answer === undefined ? null : chain.guess(step, { row, state }, answer);
    },
  }));
}

const tilted = (values: Float64Array, alpha: number): Float64Array => {
  // Less the largest first, so that a constant added to the reward changes nothing.
  const max = Math.max(...values);
  return values.map((v) => (v - max) / alpha);
};

function candidatesOf<S, E>(chain: Chain<S, E>, step: number, at: At<S>, said: E, options: SvddOptions): S[] {
  return Array.from({ length: options.candidates }, (_, m) => chain.draw(step, at, said, m, options.sharedReveal));
}

interface Appraisal<E> {
  /** Per row and candidate; empty for rows whose candidates are all the same. Rewards where the step was the last. */
  readonly values: Float64Array[];
  readonly said: (E | undefined)[][];
}

/** Values of all candidates: equal ones of a row once, and rows without a choice not at all. */
async function appraise<S, E>(
  chain: Chain<S, E>,
  step: number,
  parents: readonly At<S>[],
  answers: readonly E[],
  sets: readonly S[][],
  value: ValueFunction<S, E>,
  score: Score,
): Promise<Appraisal<E>> {
  const asked: At<S>[] = [];
  const known: (E | undefined)[] = [];
  const places = sets.map((states, row) => {
    const own = distinct(chain, states);
    const first = asked.length;
    for (const state of own.states) {
      // Without a choice there is nothing to ask, but an answer that is still true is kept.
      asked.push({ row, state });
      known.push(stillTrue(chain, parents[row]!.state, state, answers[row]!));
    }
    return { choice: own.states.length > 1, of: own.of.map((k) => first + k) };
  });
  const open = asked.flatMap((a, k) => (places[a.row]!.choice ? [k] : []));
  const done = step + 1 === chain.steps;
  const at = open.map((k) => asked[k]!);
  if (!done && value.asksNetwork) {
    const said = await askMissing(
      chain,
      step + 1,
      at,
      open.map((k) => known[k]),
    );
    for (const [n, k] of open.entries()) known[k] = said[n];
  }
  const values = done
    ? await score(
        at.map((a) => chain.finished(a.state)),
        at.map((a) => a.row),
      )
    : await value.values(
        step + 1,
        at,
        value.asksNetwork ? open.map((k) => known[k] as E) : [],
        at.map(({ row }) => answers[row]!),
      );
  const worth = new Map(open.map((k, n) => [k, values[n]!]));
  return {
    values: places.map(({ choice, of }) => (choice ? Float64Array.from(of, (k) => worth.get(k)!) : new Float64Array())),
    said: places.map(({ of }) => of.map((k) => known[k])),
  };
}

/** The different states among candidates, and which of them each candidate is. */
function distinct<S, E>(chain: Chain<S, E>, states: readonly S[]): { states: S[]; of: number[] } {
  const seen = new Map<unknown, number>();
  const unique: S[] = [];
  const of = states.map((state) => {
    // Screening may keep one state twice.
    const key = chain.key(state) ?? state;
    const place = seen.get(key) ?? unique.length;
    if (place === unique.length) unique.push(state);
    seen.set(key, place);
    return place;
  });
  return { states: unique, of };
}

/**
 * The worst rows go on from a row drawn ∝ exp(v̂/α) (by argmax: the best), each among those of its own condition. Section 4.3 of the
 * paper: "global resampling".
 */
function replaceWorst<S, E>(
  chain: Chain<S, E>,
  step: number,
  values: readonly Float64Array[],
  chosen: readonly number[],
  { replace, alpha, select }: SvddOptions,
): number[] {
  const parents = [...values.keys()];
  for (const rows of Map.groupBy(parents.slice(), (row) => chain.condition(row)).values()) {
    // Rows without a choice have no value: then all keep their places.
    if (rows.some((row) => values[row]!.length === 0)) continue;
    const own = Float64Array.from(rows, (row) => values[row]![chosen[row]!]!);
    const order = [...own.keys()].sort((a, b) => own[a]! - own[b]!);
    for (const k of order.slice(0, Math.floor(replace * own.length))) {
      const row = rows[k]!;
      const best = select === 'argmax' ? argmax(own) : categorical(tilted(own, alpha), chain.rng(row, step, 'replace'));
      parents[row] = rows[best]!;
    }
  }
  return parents;
}
