import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sha256File } from '#models/files.ts';
import { generated, TINY, testEngine } from '#test/support/engine.ts';

const start = (modelId: string, prompt: string, count = 4) => ({ modelId, prompts: [prompt], count, seed: 1 });

test('jobs run one at a time, first in first out, and their pictures are files and rows', async () => {
  const t = testEngine();
  const ids: string[] = [];
  for (const prompt of ['slow a', 'slow b', 'slow c']) {
    ids.push((await t.engine.call('generate.start', start(TINY, prompt))).id);
  }
  await t.reaches(ids[2]!, 'done');
  const states = t.seen.flatMap(({ name, payload }) =>
    name === 'job' ? [payload as { id: string; state: string }] : [],
  );
  const changes = states.map(({ id, state }) => `${ids.indexOf(id)} ${state}`).filter((s, i, all) => s !== all[i - 1]);
  expect(changes).toEqual(['0 running', '0 done', '1 running', '1 done', '2 running', '2 done']);
  const { samples, total } = await t.engine.call('samples.list', {});
  expect(total).toBe(12);
  for (const { hash } of samples) expect(existsSync(join(t.directory, 'samples', `${hash}.png`))).toBe(true);
  expect(t.seen.filter(({ name }) => name === 'sample')).toHaveLength(12);
});

test('a paused job keeps what it finished, resumes, and announces nothing twice', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'wait@5', 12));
  await t.event('sample', ({ sample }) => sample.index === 4);
  await t.engine.call('jobs.pause', { id: job.id });
  const paused = await t.reaches(job.id, 'paused');
  expect(paused.crashes).toBe(0);
  const { total } = await t.engine.call('samples.list', {});
  // The picture it was making is finished first.
  expect(total).toBe(6);
  await t.engine.call('jobs.resume', { id: job.id });
  await t.reaches(job.id, 'done');
  expect((await t.engine.call('samples.list', {})).total).toBe(12);
  expect(t.seen.filter(({ name }) => name === 'sample')).toHaveLength(12);
});

test('a soft cancel stops between steps and keeps the finished pictures', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'wait@2', 50));
  await t.event('sample', ({ sample }) => sample.index === 1);
  await t.engine.call('jobs.cancel', { id: job.id });
  await t.reaches(job.id, 'cancelled');
  expect((await t.engine.call('samples.list', {})).total).toBe(3);
});

test('a job inside a call that does not return is killed after the time-out, and the next job runs', async () => {
  const t = testEngine(undefined, { cancelMs: 100 });
  const hung = await t.engine.call('generate.start', start(TINY, 'hang'));
  const next = await t.engine.call('generate.start', start(TINY, 'next'));
  await t.event('sample');
  await t.engine.call('jobs.cancel', { id: hung.id });
  await t.reaches(next.id, 'done');
  expect((await t.job(hung.id)).state).toBe('cancelled');
});

test('a hard cancel ends a hung process before it answers', async () => {
  const t = testEngine();
  const hung = await t.engine.call('generate.start', start(TINY, 'hang'));
  await t.event('sample');
  expect((await t.engine.call('jobs.cancel', { id: hung.id, hard: true })).state).toBe('cancelled');
  expect(() => process.kill(t.handles[0]!.pid!, 0)).toThrow();
});

test.each(['crash', 'abort'])(
  'a job that dies twice in a row (%s) is set aside; once leaves it paused',
  async (how) => {
    const t = testEngine();
    const job = await t.engine.call('generate.start', start(TINY, how));
    const once = await t.reaches(job.id, 'paused');
    expect(once).toMatchObject({ crashes: 1, error: { code: 'job/crashed' } });
    await t.engine.call('jobs.resume', { id: job.id });
    expect(await t.reaches(job.id, 'set-aside')).toMatchObject({ crashes: 2 });
    expect((await t.engine.call('samples.list', {})).total).toBe(1);
    await generated(t, ['after the crash'], 1);
  },
);

test('a crash between two good runs is forgotten', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'crash-once'));
  await t.reaches(job.id, 'paused');
  await t.engine.call('jobs.resume', { id: job.id });
  expect(await t.reaches(job.id, 'done')).toMatchObject({ crashes: 0, error: null });
});

test('an error of a job keeps its name and advice, and is no crash', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'fail'));
  expect(await t.reaches(job.id, 'failed')).toMatchObject({
    crashes: 0,
    error: { code: 'fake/failed', message: 'It failed as told.', hint: 'Do not ask for it.' },
  });
});

test('a job that announces a picture by something else than a hash fails', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'babble'));
  await t.reaches(job.id, 'failed');
  expect((await t.engine.call('samples.list', {})).total).toBe(1);
});

test('closing the engine pauses the running job cleanly; nothing starts by itself when the project opens again', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'wait@1', 50));
  const waiting = await t.engine.call('generate.start', start(TINY, 'later'));
  await t.event('sample');
  await t.close();
  const again = testEngine(t.directory);
  expect(await again.job(job.id)).toMatchObject({ state: 'paused', crashes: 0 });
  expect(await again.job(waiting.id)).toMatchObject({ state: 'paused', crashes: 0 });
  expect(again.handles).toHaveLength(0);
  await again.engine.call('jobs.resume', { id: waiting.id });
  await again.reaches(waiting.id, 'done');
});

test('every listed picture is a whole file after a hard cancel', async () => {
  const t = testEngine();
  const job = await t.engine.call('generate.start', start(TINY, 'slow', 50));
  await t.event('sample');
  await t.engine.call('jobs.cancel', { id: job.id, hard: true });
  const { samples } = await t.engine.call('samples.list', { limit: 500 });
  expect(samples.length).toBeGreaterThan(0);
  for (const { hash } of samples) expect(sha256File(join(t.directory, 'samples', `${hash}.png`))).toBe(hash);
});
