import { NorthlightError } from '#models/errors.ts';
import type { Combination } from './combine.ts';
import { createCombinedReward, createReward, type RewardHost } from './index.ts';
import type { Reward, RewardItem } from './types.ts';

/** What a person asks for: one reward as it is, or several combined; null for none. */
export async function openReward(
  specs: readonly string[],
  host: RewardHost & { readonly combine?: Combination },
): Promise<Reward | null> {
  const [first] = specs;
  if (first === undefined) return null;
  return specs.length === 1 && !/@[\d.eE+-]+$/.test(first)
    ? createReward(first, host)
    : createCombinedReward(specs, host);
}

/** Scores where higher is better, all of them finite. @throws {NorthlightError} `reward/not-finite`, `reward/count`. */
export async function scoreWith(reward: Reward, items: readonly RewardItem[]): Promise<Float64Array> {
  const scores = await reward.score(items);
  if (scores.length !== items.length) {
    throw new NorthlightError(
      'reward/count',
      `The reward "${reward.name}" gave ${scores.length} scores for ${items.length} samples.`,
      'It must give one number for each.',
    );
  }
  const bad = scores.findIndex((s) => !Number.isFinite(s));
  if (bad >= 0) {
    throw new NorthlightError(
      'reward/not-finite',
      `The reward "${reward.name}" gave ${scores[bad]} for one of ${items.length} samples.`,
      'It must give a finite number for each; try it with: northlight score --reward SPEC PATH',
    );
  }
  return Float64Array.from(scores, (s) => (reward.higherIsBetter ? s : -s));
}
