import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Clean, DifferentiableReward, Score } from '#pipelines/sampling/steering.ts';
import type { At, Chain } from './chain.ts';
import { logMeanExp } from './weights.ts';

/**
 * Estimates soft values v_t(x) = α·log E[exp(r(x₀)/α) | x_t = x] of states that are about to take `step`, in units of the reward.
 * Any finite numbers keep importance weights exact; good ones keep them even.
 */
export interface ValueFunction<S, E> {
  /** Whether it needs what the network says of the states: one denoiser call each. */
  readonly asksNetwork: boolean;
  /**
   * @param said one per state, or empty where the network need not be asked.
   * @param before what the network said of the state that each of `at` was drawn from: value networks, which svdd alone takes, want it.
   */
  values(step: number, at: readonly At<S>[], said: readonly E[], before?: readonly E[]): Promise<Float64Array>;
  /** With the rewards of the random completions that each value is made of; absent where it is made of none. */
  completed?(
    step: number,
    at: readonly At<S>[],
    said: readonly E[],
  ): Promise<{ readonly values: Float64Array; readonly rewards: readonly Float64Array[] }>;
}

/** Reward of the network's best guess: SVDD-PM, Li et al. 2024 (arXiv:2408.08252), algorithm 4. Exact for linear rewards of Gaussian chains. */
export function guessValue<S, E>(chain: Chain<S, E>, score: Score): ValueFunction<S, E> {
  return {
    asksNetwork: true,
    values: (step, at, said) =>
      scoreUnique(
        score,
        at.map((a, i) => chain.guess(step, a, said[i]!)),
        at.map((a) => a.row),
      ),
  };
}

/**
 * v̂ = α·log mean exp(r/α) over `draws` random completions, the same random numbers for every candidate of a row, so that
 * candidates differ by what they are and not by luck. Where a model has no such distribution, its best guess.
 */
export function completionValue<S, E>(
  chain: Chain<S, E>,
  score: Score,
  options: { readonly alpha: number; readonly draws: number },
): ValueFunction<S, E> {
  const { alpha, draws } = options;
  const completed = async (step: number, at: readonly At<S>[], said: readonly E[]) => {
    const samples: Clean[] = [];
    const rows: number[] = [];
    for (const [i, a] of at.entries()) {
      for (let k = 0; k < draws; k++) {
        samples.push(chain.complete(step, a, said[i]!, k) ?? chain.guess(step, a, said[i]!));
        rows.push(a.row);
      }
    }
    const all = await scoreUnique(score, samples, rows);
    const rewards = at.map((_, i) => all.subarray(i * draws, (i + 1) * draws));
    return { rewards, values: Float64Array.from(rewards, (own) => alpha * logMeanExp(own.map((r) => r / alpha))) };
  };
  return {
    asksNetwork: true,
    completed,
    values: async (step, at, said) => (await completed(step, at, said)).values,
  };
}

/**
 * The reward of what the network expects: probabilities in place of letters, or the posterior mean of a picture. Exact for linear rewards.
 * @throws {NorthlightError} `decode/not-differentiable` for rewards of finished samples only.
 */
export function meanValue<S, E>(
  chain: Chain<S, E>,
  score: Score,
  reward: DifferentiableReward | undefined,
): ValueFunction<S, E> {
  if (reward === undefined) {
    throw new NorthlightError(
      'decode/not-differentiable',
      'This reward looks at finished samples only, not at probabilities.',
      'Take the value "guess" or "completions".',
    );
  }
  return {
    asksNetwork: true,
    async values(step, at, said) {
      const points = at.map((a, i) => chain.relaxed(step, a, said[i]!));
      const open = points.flatMap((point, i) => (point === null ? [] : [{ point, row: at[i]!.row }]));
      const expected = await reward.values(
        open.map(({ point }) => point),
        open.map(({ row }) => row),
      );
      const done = at.flatMap((a, i) => (points[i] === null ? [{ a, said: said[i]! }] : []));
      const finished = await scoreUnique(
        score,
        done.map((d) => chain.guess(step, d.a, d.said)),
        done.map((d) => d.a.row),
      );
      let [next, last] = [0, 0];
      return Float64Array.from(points, (point) => (point === null ? finished[last++]! : expected[next++]!));
    },
  };
}

/** Options of decoders that look at what unfinished samples would become. */
export const predicted = {
  value: z
    .enum(['guess', 'completions', 'mean'])
    .default('guess')
    .describe(
      'What an unfinished sample is worth: the reward of the best guess, of random completions (sequences), or of the probabilities of all ' +
        'letters at once (rewards with a gradient)',
    ),
  draws: z.int().min(1).max(64).default(4).describe('Random completions of each candidate'),
};

/** The value that {@link predicted} options ask for. */
export function predictedValue<C, E>(
  chain: Chain<C, E>,
  score: Score,
  o: { value: 'guess' | 'completions' | 'mean'; draws: number; alpha: number },
  slope?: DifferentiableReward,
): ValueFunction<C, E> {
  if (o.value === 'mean') return meanValue(chain, score, slope);
  return o.value === 'guess' ? guessValue(chain, score) : completionValue(chain, score, o);
}

/** Whether {@link predicted} options ask for a reward of samples that are not finished. */
export const needsRelaxed = (o: { readonly value?: unknown }): boolean => o.value === 'mean';

/** Scores each distinct sample of a row once. */
async function scoreUnique(score: Score, samples: readonly Clean[], rows: readonly number[]): Promise<Float64Array> {
  const places = new Map<string, number>();
  const unique: number[] = [];
  const of = samples.map((sample, i) => {
    // Pictures are as good as never equal.
    const key = sample instanceof Int32Array ? `${rows[i]} ${sample.join()}` : String(i);
    const known = places.get(key);
    if (known !== undefined) return known;
    places.set(key, unique.length);
    unique.push(i);
    return unique.length - 1;
  });
  const scores = await score(
    unique.map((i) => samples[i]!),
    unique.map((i) => rows[i]!),
  );
  return Float64Array.from(of, (i) => scores[i]!);
}
