import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { fileError } from '#models/files.ts';
import { samplePath } from '#pipelines/engine/blobs.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import type { RewardItem } from '#pipelines/rewards/types.ts';
import { stopIfAsked } from './control.ts';
import { openJournal } from './journal.ts';
import { jobEvents, scoreItem, scorePayload } from './payloads.ts';

/** Enough to be fast, few enough to show progress and to hold 512² pictures in memory. */
const BATCH = 16;

type Item = z.output<typeof scoreItem>;

/** Scores pictures or sequences by a reward, batch by batch. Pictures whose file is missing are left without a score. */
export const score: JobFunction = async (payload, context) => {
  const { reward: spec, list } = scorePayload.parse(payload);
  const items = readItems(list);
  const journal = openJournal(context.project, context.jobId, jobEvents.scores);
  const what = items.some((item) => 'letters' in item)
    ? { name: 'sequence', of: 'sequences' as const }
    : { name: 'picture' };
  const isThere = (item: Item) => 'letters' in item || existsSync(samplePath(context.project, item.hash));
  try {
    const scored = new Set<number>();
    for (const entry of journal.finished) {
      for (const [seq] of entry.values) scored.add(seq);
      context.event('scores', entry);
    }
    const left = items.filter(({ seq }) => !scored.has(seq));
    const there = left.filter(isThere);
    const missing = left.length - there.length;
    const report = () =>
      context.progress(`${what.name} ${scored.size} of ${items.length}`, scored.size + missing, items.length);
    report();
    const reward = await createReward(spec, { threads: context.threads });
    try {
      for (let start = 0; start < there.length; start += BATCH) {
        stopIfAsked(context);
        const batch = there.slice(start, start + BATCH);
        const given = await Promise.all(
          batch.map(async (item): Promise<RewardItem> => {
            if ('letters' in item) return { kind: 'sequence', sequence: item.letters };
            const { data, width, height } = await decodeImage(samplePath(context.project, item.hash));
            return { kind: 'image', rgb: data, width, height, prompt: item.prompt };
          }),
        );
        const found = await reward.score(given);
        const values = batch.map(({ seq }, i): [number, number] => [seq, found[i]!]);
        const entry = { reward: spec, values, ...(what.of ? { of: what.of } : {}) };
        journal.append(entry);
        context.event('scores', entry);
        for (const [seq] of values) scored.add(seq);
        report();
      }
    } finally {
      await reward.close();
    }
    return { scored: scored.size, missing };
  } finally {
    journal.close();
  }
};

function readItems(path: string): Item[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
    return z.array(scoreItem).parse(lines.map((line): unknown => JSON.parse(line)));
  } catch (error) {
    throw fileError(error, path, 'read');
  }
}
