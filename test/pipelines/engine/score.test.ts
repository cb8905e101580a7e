import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { JobStopped } from '#pipelines/engine/jobs/control.ts';
import { jobEvents } from '#pipelines/engine/jobs/payloads.ts';
import { score } from '#pipelines/engine/jobs/score.ts';
import { encodePng } from '#pipelines/images/images.ts';
import { temporaryFolder } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';

test('a scoring job that was stopped goes on where it was, and scores nothing twice', async () => {
  const project = join(temporaryFolder(), 'project');
  recordedContext(project, 'job-1');
  const items: { seq: number; hash: string; prompt: string }[] = [];
  for (let i = 0; i < 40; i++) {
    const png = await encodePng(new Uint8Array(4 * 4 * 3).fill(i), 4, 4);
    const hash = createHash('sha256').update(png).digest('hex');
    writeFileSync(join(project, 'samples', `${hash}.png`), png);
    items.push({ seq: i + 1, hash, prompt: '' });
  }
  const list = join(project, 'items.jsonl');
  writeFileSync(list, items.map((item) => `${JSON.stringify(item)}\n`).join(''));
  const payload = { reward: 'brightness', list };
  const scored = (context: ReturnType<typeof recordedContext>) =>
    context.events.flatMap(({ data }) => jobEvents.scores.parse(data).values);

  const first = recordedContext(project, 'job-1', (context) => {
    context.control.request = 'pause';
  });
  await expect(score(payload, first)).rejects.toThrow(JobStopped);
  const before = scored(first);
  expect(before.length).toBeGreaterThan(0);
  expect(before.length).toBeLessThan(40);

  const second = recordedContext(project, 'job-1');
  expect(await score(payload, second)).toEqual({ scored: 40, missing: 0 });
  const after = scored(second);
  // What was finished is told again, as any resumed job does, and every picture once.
  expect(after.slice(0, before.length)).toEqual(before);
  expect(after.map(([seq]) => seq)).toEqual(items.map(({ seq }) => seq));
  for (const [seq, value] of after) expect(value).toBeCloseTo((seq - 1) / 255, 5);
});
