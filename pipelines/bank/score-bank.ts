import { decodeImage } from '#pipelines/images/images.ts';
import { createReward, type RewardHost } from '#pipelines/rewards/index.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';
import { type Bank, type BankItem, picturePath } from './bank.ts';
import { type Column, readColumn, writeColumn } from './columns.ts';

/** Samples scored together: enough to be fast, few enough to show progress. */
const BATCH = 16;

export interface ScoreHooks {
  /** Samples that are scored. */
  readonly onProgress?: (samples: number) => void;
  /** Asked before every batch; stops by throwing. What was scored is kept. */
  readonly checkpoint?: () => void;
}

/**
 * What a reward says of the first `count` samples of a bank: those that it has not scored yet are scored, none is made.
 * @param spec without a weight.
 * @throws {NorthlightError} what the reward throws.
 */
export async function scoreBank(
  bank: Bank,
  spec: string,
  host: RewardHost & { readonly count?: number; readonly opened?: Reward },
  { onProgress, checkpoint }: ScoreHooks = {},
): Promise<Column> {
  const { count = bank.items.length, opened, ...machine } = host;
  const known = readColumn(bank, spec);
  if (known && known.values.length >= count) return { ...known, values: known.values.slice(0, count) };
  const reward = opened ?? (await createReward(spec, machine));
  try {
    const values = [...(known?.values ?? [])];
    const column = { reward: spec, name: reward.name, higherIsBetter: reward.higherIsBetter, values };
    while (values.length < count) {
      checkpoint?.();
      const batch = bank.items.slice(values.length, Math.min(values.length + BATCH, count));
      const items = await Promise.all(batch.map((item) => itemOf(bank, item)));
      values.push(...(await reward.score(items)));
      writeColumn(bank, spec, column);
      onProgress?.(values.length);
    }
    return column;
  } finally {
    if (!opened) await reward.close();
  }
}

async function itemOf(bank: Bank, { sample, prompt }: BankItem): Promise<RewardItem> {
  if (sample.kind === 'sequence') return { kind: 'sequence', sequence: sample.sequence };
  const { data, width, height } = await decodeImage(picturePath(bank.directory, sample.hash));
  return { kind: 'image', rgb: data, width, height, prompt };
}
