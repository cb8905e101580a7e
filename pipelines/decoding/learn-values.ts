import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { rewardHash } from '#pipelines/rewards/reward-hash.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import { type ValueData, valueCollector } from './value-data.ts';
import type { ValueLessons } from './value-lessons.ts';
import { saveValueNetwork, type ValueCard } from './value-network.ts';
import { joinedParts, openValueParts } from './value-parts.ts';
import type { ValueSource } from './value-source.ts';
import { trainValueNetwork, type ValueTrainingOptions } from './value-training.ts';

/** Samples that are collected between two files. */
const PART = 8;

export interface LearnedValues {
  readonly card: ValueCard;
  readonly data: ValueData;
  /** Samples that were not there before. */
  readonly made: number;
}

/**
 * Collects what a value network learns from, trains it, and writes it to a folder. What was collected lies in `states` beside it, and the
 * same work goes on from there after a stop, also with a larger count.
 * @throws {NorthlightError} `value/other-data`, `value/shape`, what the source and the reward throw, and what `checkpoint` throws.
 */
export async function learnValues(
  folder: string,
  source: ValueSource,
  by: { readonly spec: string; readonly reward: Reward },
  options: {
    readonly lessons: ValueLessons;
    readonly training: ValueTrainingOptions;
    readonly seed: number;
    readonly threads?: number;
  },
  how: {
    onProgress(stage: 'samples' | 'training', done: number, total: number): void;
    checkpoint(): void;
    onNote?(message: string): void;
  },
): Promise<LearnedValues> {
  const { lessons, training, seed, threads } = options;
  const { count, states, candidates, led } = lessons;
  const of = { model: source.modelHash, reward: rewardHash(by.spec), states, candidates, led, seed };
  const identity = createHash('sha256')
    .update(JSON.stringify({ ...source.identity, ...of }))
    .digest('hex');
  const kept = openValueParts(join(folder, 'states'), identity);
  const parts: ValueData[] = [];
  let made = 0;
  for (let from = 0; from < count; from += PART) {
    how.checkpoint();
    const wanted = Math.min(PART, count - from);
    let part = kept.read(from / PART);
    if (part === null || part.rewards.length < wanted) {
      const collected: ValueData[] = [];
      const steering = valueCollector({ statesEach: states, candidates, led }, (data) => collected.push(data));
      const onStep = (share: number) => how.onProgress('samples', from + share * wanted, count);
      await source.make(from, wanted, { steering, ...by }, { ...how, onStep });
      part = joinedParts(collected);
      kept.write(from / PART, part);
      made += wanted;
    }
    parts.push(part);
  }
  const data = joinedParts(parts);
  const network = await trainValueNetwork(
    data,
    { modelHash: source.modelHash, reward: by.spec },
    { ...training, seed, ...(threads ? { threads } : {}) },
    ({ step }) => {
      how.checkpoint();
      how.onProgress('training', step, training.updates);
      return true;
    },
  );
  saveValueNetwork(folder, network);
  return { card: network.card, data, made };
}
