import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Decoding, Rival, Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { expectedLargest, provenValue, rankByProgress } from './progress.ts';
import type { ValueFunction } from './value.ts';
import { argmax } from './weights.ts';

export const beamOptions = z.object({
  width: z.int().min(1).max(256).default(4).describe('Unfinished samples kept side by side for each sample (A)'),
  branch: z.int().min(1).max(64).default(2).describe('Ways to go on drawn for each of them at every branching (K)'),
  oversample: z.number().min(1).max(32).default(1).describe('How many times wider the search begins'),
  narrowBy: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Share of the steps after which the search has its own width, exponentially from where it began'),
  every: z.int().min(1).default(1).describe('Steps between branchings'),
  progress: z
    .number()
    .min(0)
    .max(10)
    .default(0)
    .describe(
      'How much more counts what a candidate adds to its own parent, for someone who would try several ways on (a); with value=completions. ' +
        '0: values alone',
    ),
  prover: z.int().min(1).max(64).default(4).describe('Ways on that such a one would try (K)'),
  sharedReveal: z
    .boolean()
    .default(true)
    .describe('Sequences: all candidates of a step reveal the same positions, so that they differ in letters only'),
});
export type BeamOptions = z.output<typeof beamOptions>;

/**
 * Beam search: at every branching each of the kept states draws K candidates and the best of all go on. The active set is TreeG-SC's,
 * Guo et al. 2025 (arXiv:2502.11420); that it may begin wider and narrows exponentially is DSearch's, Li et al. 2025
 * (arXiv:2503.02039). Gives the best finished sample. Width, branch and oversample of 1 are plain sampling.
 *
 * Deviation: a beam starts from one x_T and fills up at its first branching; equal states are kept once.
 */
export async function* beam<S, E>(
  chain: Chain<S, E>,
  value: ValueFunction<S, E>,
  score: Score,
  options: BeamOptions,
): Decoding {
  const { steps } = chain;
  if (options.progress > 0 && value.completed === undefined) throw needsCompletions();
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  let beams: Kept<S, E>[][] = rows.map((row) => [
    { row, state: chain.start(row), said: undefined, from: null, proven: 0 },
  ]);

  for (let i = 0; i < steps; i++) {
    const flat = beams.flat();
    const answers = await askMissing(
      chain,
      i,
      flat,
      flat.map((b) => b.said),
    );
    for (const [k, b] of flat.entries()) b.said = answers[k]!;
    const asked = beams.map(([best]) => best!);
    const guess = (row: number) => chain.guess(i, asked[row]!, asked[row]!.said as E);
    const branched = chain.isRandom(i) && i % options.every === 0;
    const next = beams.map((own) => candidatesOf(chain, i, own, branched ? widthAt(i, steps, options) : 0, options));
    const done = i + 1 === steps;
    // Nothing to choose: nothing to ask. The end always has to know its rewards.
    const compared = done ? rows : rows.filter((row) => branched && next[row]!.length > widthAt(i, steps, options));
    const { values, ranks } = await appraise(
      chain,
      i + 1,
      compared.map((row) => next[row]!),
      value,
      score,
      options,
    );
    const byRow = new Map(compared.map((row, k) => [row, values[k]!]));
    const order = new Map(compared.map((row, k) => [row, ranks[k]!]));
    const kept = rows.map((row) => best(next[row]!, order.get(row), done ? 1 : widthAt(i, steps, options)));
    const rivals = (row: number): Rival[] =>
      Array.from(byRow.get(row) ?? [], (value, k) => {
        const rival = next[row]![k]!;
        const { state, said, from } = rival;
        return {
          value,
          parent: from,
          wentOn: kept[row]!.includes(rival),
          guess() {
            if (done) return chain.finished(state);
            return said === undefined ? null : chain.guess(i + 1, { row, state }, said);
          },
        };
      });
    beams = rows.map((row) =>
      byRow.has(row) ? kept[row]!.map((b) => ({ ...b, from: next[row]!.indexOf(b) })) : kept[row]!,
    );
    yield {
      step: i + 1,
      total: steps,
      guess,
      values: rows.map((row) => byRow.get(row) ?? new Float64Array()),
      chosen: rows.map((row) => {
        const own = order.get(row);
        return own === undefined ? 0 : argmax(own);
      }),
      rivals,
    };
    if (!done) continue;
    return {
      samples: beams.map(([b]) => chain.finished(b!.state)),
      rewards: Float64Array.from(rows, (row) => Math.max(...byRow.get(row)!)),
      logWeights: null,
    };
  }
  throw new RangeError('A sampler has at least one step.');
}

interface Kept<S, E> extends At<S> {
  /** What the network says of the state before its step, where that is known. */
  said: E | undefined;
  /** Which candidate of the last comparison it comes from; null before the first. */
  readonly from: number | null;
  /** What the best of several ways on is expected to be worth, as it or its parent was last looked at; 0 before that. */
  proven: number;
}

/** States kept after a step: from `width·oversample` down to `width`, by the same factor at every step. */
export function widthAt(step: number, steps: number, { width, oversample, narrowBy }: BeamOptions): number {
  const last = narrowBy * steps;
  const left = last > 0 ? Math.max(0, 1 - step / last) : 0;
  return Math.round(width * oversample ** left);
}

/** Candidates of one of `own` states that are to become `width`. */
const drawsEach = (own: number, width: number, { branch }: BeamOptions): number =>
  Math.max(branch, Math.ceil((width * branch) / own));

/** Calls for one sample, where every step is random and no two states are equal. */
export function beamWork(options: BeamOptions, steps: number): { denoiserCalls: number; rewardCalls: number } {
  let own = 1;
  const work = { denoiserCalls: 1, rewardCalls: 0 };
  for (let i = 0; i < steps; i++) {
    const done = i + 1 === steps;
    const width = widthAt(i, steps, options);
    const branched = i % options.every === 0;
    const drawn = branched ? own * drawsEach(own, width, options) : own;
    if (!done) work.denoiserCalls += drawn;
    if (done || (branched && drawn > width)) work.rewardCalls += drawn;
    own = branched ? Math.min(width, drawn) : drawn;
  }
  return work;
}

/** @param width states to go on with; 0: each as it is, without branching. */
function candidatesOf<S, E>(
  chain: Chain<S, E>,
  step: number,
  own: readonly Kept<S, E>[],
  width: number,
  options: BeamOptions,
): Kept<S, E>[] {
  const each = width === 0 ? 1 : drawsEach(own.length, width, options);
  const seen = new Set<string>();
  const out: Kept<S, E>[] = [];
  for (const [b, { row, state, said, from, proven }] of own.entries()) {
    for (let k = 0; k < each; k++) {
      const next = chain.draw(step, { row, state }, said as E, b * each + k, options.sharedReveal);
      const key = chain.key(next) ?? String(out.length);
      if (seen.has(key)) continue;
      seen.add(key);
      out.push({ row, state: next, said: stillTrue(chain, state, next, said as E), from, proven });
    }
  }
  return out;
}

/** Values of all candidates, with what the network says of them kept for their step; rewards where they are finished. */
async function appraise<S, E>(
  chain: Chain<S, E>,
  step: number,
  sets: readonly Kept<S, E>[][],
  value: ValueFunction<S, E>,
  score: Score,
  { progress, prover }: BeamOptions,
): Promise<{ values: Float64Array[]; ranks: Float64Array[] }> {
  const all = sets.flat();
  let values: Float64Array;
  let ranks: Float64Array | undefined;
  if (step === chain.steps) {
    values = await score(
      all.map((c) => chain.finished(c.state)),
      all.map((c) => c.row),
    );
  } else {
    if (value.asksNetwork) {
      const said = await askMissing(
        chain,
        step,
        all,
        all.map((c) => c.said),
      );
      for (const [k, c] of all.entries()) c.said = said[k]!;
    }
    const said = value.asksNetwork ? all.map((c) => c.said as E) : [];
    if (progress > 0 && value.completed) {
      const made = await value.completed(step, all, said);
      const largest = expectedLargest(prover);
      values = made.values;
      ranks = Float64Array.from(all, (c, k) => {
        const before = c.proven;
        c.proven = provenValue(made.rewards[k]!, largest);
        return rankByProgress(values[k]!, c.proven, before, progress);
      });
    } else values = await value.values(step, all, said);
  }
  const shares = (of: Float64Array) => {
    let from = 0;
    return sets.map((own) => {
      from += own.length;
      return of.slice(from - own.length, from);
    });
  };
  return { values: shares(values), ranks: shares(ranks ?? values) };
}

/** The largest first; candidates of equal value as they were drawn. */
function best<S, E>(candidates: readonly Kept<S, E>[], values: Float64Array | undefined, width: number): Kept<S, E>[] {
  if (values === undefined) return [...candidates];
  const order = [...candidates.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
  return order.slice(0, width).map((k) => candidates[k]!);
}

const needsCompletions = () =>
  new NorthlightError(
    'decode/option',
    'Decoder "beam": progress is told from several completions of each candidate, and its values are of one.',
    'Set value=completions, or leave progress at 0.',
  );
