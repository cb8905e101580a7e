import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fileError } from '#models/files.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { stopIfAsked } from './control.ts';
import { openJournal } from './journal.ts';
import { jobEvents, scoreItem, scorePayload } from './payloads.ts';

/** Enough to be fast, few enough to show progress and to hold 512² pictures in memory. */
const BATCH = 16;

type Item = z.output<typeof scoreItem>;

/** Scores pictures by a reward, batch by batch. Pictures whose file is missing are left without a score. */
export const score: JobFunction = async (payload, context) => {
  const { reward: spec, list } = scorePayload.parse(payload);
  const items = readItems(list);
  const journal = openJournal(context.project, context.jobId, jobEvents.scores);
  const pathOf = ({ hash }: Item) => join(context.project, 'samples', `${hash}.png`);
  try {
    const scored = new Set<number>();
    for (const entry of journal.finished) {
      for (const [seq] of entry.values) scored.add(seq);
      context.event('scores', entry);
    }
    const left = items.filter(({ seq }) => !scored.has(seq));
    const there = left.filter((item) => existsSync(pathOf(item)));
    const missing = left.length - there.length;
    const report = () =>
      context.progress(`picture ${scored.size} of ${items.length}`, scored.size + missing, items.length);
    report();
    const reward = await createReward(spec, { threads: context.threads });
    try {
      for (let start = 0; start < there.length; start += BATCH) {
        stopIfAsked(context);
        const batch = there.slice(start, start + BATCH);
        const pictures = await Promise.all(
          batch.map(async (item) => {
            const { data, width, height } = await decodeImage(pathOf(item));
            return { kind: 'image' as const, rgb: data, width, height, prompt: item.prompt };
          }),
        );
        const found = await reward.score(pictures);
        const values = batch.map(({ seq }, i): [number, number] => [seq, found[i]!]);
        journal.append({ reward: spec, values });
        context.event('scores', { reward: spec, values });
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
