import type { Decoding, Score, Steering } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { gaussianChain } from './gaussian-chain.ts';
import { maskedChain } from './masked-chain.ts';
import { type PackedSight, packSight, sightDims, sightOf } from './value-sight.ts';
import { argmax } from './weights.ts';

/** A candidate about to take a step. */
export interface ValueState {
  readonly sight: PackedSight;
  /** Share of the steps already taken. */
  readonly progress: number;
  /** Which of the samples it belongs to. */
  readonly sample: number;
  /** Candidates of one state have the same number. */
  readonly family: number;
  /** Whether its sample went on with it. */
  readonly wentOn: boolean;
  /** Reward of the best guess of what it becomes. */
  readonly guessed: number;
}

/** Candidates on the way of samples, with what the samples ended in. */
export interface ValueData {
  /** Shape of a sight, channels first. */
  readonly dims: readonly number[];
  readonly states: readonly ValueState[];
  readonly rewards: Float64Array;
  /** 1 for samples that were drawn as the model draws them, 0 for those that were led to better ones. */
  readonly plain: Uint8Array;
}

export interface CollectOptions {
  /** Steps of each sample, at random, at which candidates are compared and kept. */
  readonly statesEach: number;
  /** Candidates of each. */
  readonly candidates: number;
  /** Share of samples that are led: decoding goes where plain samples never are. */
  readonly led: number;
}

/**
 * Whose guesses: the denoiser's own of each candidate, a call each, or what it said of the parent. The parent's answer makes of a noisy picture
 * another noisy picture; of a sequence, letters like any others, and choosing by them was no worse.
 */
export type GuessBy = 'own' | 'parent';

/**
 * Samples with candidates on their way. Led ones go on with the best of their candidates at a share of the steps, each sample its own
 * share, between never and always; the others with what the model draws.
 */
export async function* collectValueData<S, E>(
  chain: Chain<S, E>,
  score: Score,
  { statesEach, candidates, led, by }: CollectOptions & { readonly by: GuessBy },
  keep: (data: ValueData) => void,
): Decoding {
  const { steps } = chain;
  const own = by === 'own';
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  const plans = rows.map((row) => {
    const rng = chain.rng(row, 'values');
    const greed = rng.uniform() < led ? rng.uniform() : 0;
    // A candidate of the last step is finished: its reward is asked, and nothing else.
    const open = Array.from({ length: steps - 1 }, (_, i) => i).filter((i) => chain.isRandom(i));
    return { greed, compared: new Set(rng.shuffle(open).slice(0, statesEach)) };
  });
  const kept: ValueState[] = [];
  let families = 0;
  let states = rows.map(chain.start);
  let known: (E | undefined)[] = rows.map(() => undefined);
  for (let i = 0; i < steps; i++) {
    const at = rows.map((row): At<S> => ({ row, state: states[row]! }));
    const said = await askMissing(chain, i, at, known);
    const guess = (row: number) => chain.guess(i, at[row]!, said[row]!);
    const next = at.map(({ state }, row) => {
      const { greed, compared } = plans[row]!;
      const greedy = i + 1 < steps && chain.rng(row, i, 'greed').uniform() < greed;
      const many = greedy || compared.has(i) ? candidates : 1;
      const all = Array.from({ length: many }, (_, m) => chain.draw(i, at[row]!, said[row]!, m, true));
      const unlike = different(chain, all);
      const answers = unlike.map((s) => stillTrue(chain, state, s, said[row]!));
      return { greedy, states: unlike, answers, compared: compared.has(i) && unlike.length > 1 };
    });
    const places = next.flatMap((n, row) =>
      n.compared || n.greedy ? n.states.map((state, m) => ({ row, state, m })) : [],
    );
    const asked = own ? places.filter(({ row }) => next[row]!.compared) : [];
    const told = await askMissing(
      chain,
      i + 1,
      asked,
      asked.map(({ row, m }) => next[row]!.answers[m]),
    );
    for (const [k, { row, m }] of asked.entries()) next[row]!.answers[m] = told[k]!;
    const answerAbout = ({ row, m }: { row: number; m: number }) => (own && next[row]!.answers[m]) || said[row]!;
    const worth = await score(
      places.map((a) => chain.guess(i + 1, a, answerAbout(a))),
      places.map(({ row }) => row),
    );
    const values = rows.map((): number[] => []);
    for (const [k, { row }] of places.entries()) values[row]!.push(worth[k]!);
    const chosen = next.map(({ greedy }, row) => (greedy ? argmax(values[row]!) : 0));
    for (const { row, state, m } of places) {
      if (!next[row]!.compared) continue;
      kept.push({
        sight: packSight(sightOf(chain, i + 1, { row, state }, said[row]!)),
        progress: (i + 1) / steps,
        sample: row,
        family: families + row,
        wentOn: m === chosen[row],
        guessed: values[row]![m]!,
      });
    }
    families += rows.length;
    states = next.map((n, row) => n.states[chosen[row]!]!);
    known = next.map((n, row) => n.answers[chosen[row]!]);
    yield { step: i + 1, total: steps, guess, values: values.map((v) => Float64Array.from(v)), chosen };
  }
  const samples = states.map(chain.finished);
  const rewards = await score(samples, rows);
  const plain = Uint8Array.from(plans, ({ greed }) => (greed === 0 ? 1 : 0));
  keep({ dims: sightDims(chain), states: kept, rewards, plain });
  return { samples, rewards, logWeights: null };
}

function different<S, E>(chain: Chain<S, E>, states: readonly S[]): S[] {
  const seen = new Set<string>();
  return states.filter((state, m) => {
    const key = chain.key(state) ?? String(m);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Sampling that collects what a value network learns from, in the place of steering. */
export function valueCollector(options: CollectOptions, keep: (data: ValueData) => void): Steering {
  return {
    name: 'plain',
    options: {},
    perSample: 1,
    needsGradient: false,
    gaussian: ({ denoiser, schedule, rows }, score) =>
      collectValueData(gaussianChain(denoiser, schedule, rows), score, { ...options, by: 'own' }, keep),
    masked: ({ denoiser, schedule, rows }, score) =>
      collectValueData(maskedChain(denoiser, schedule, rows), score, { ...options, by: 'parent' }, keep),
  };
}
