import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tunePayload } from '#pipelines/engine/jobs/payloads.ts';
import { jobs } from '#pipelines/store/jobs.ts';
import { type TestEngine, TINY, testEngine } from '#test/support/engine.ts';

async function session(t: TestEngine, mode: 'pair' | 'best-of-n', keepTrajectories = true): Promise<string> {
  const job = await t.engine.call('generate.start', {
    modelId: TINY,
    prompts: ['red'],
    count: 4,
    seed: 1,
    keepTrajectories,
  });
  await t.reaches(job.id, 'done');
  return (await t.engine.call('sessions.create', { name: mode, mode, jobIds: [job.id] })).id;
}

async function answer(t: TestEngine, id: string, ...outcomes: ('left' | 'right' | 'tie' | 'both-bad' | 'skip')[]) {
  const asked = [];
  for (const outcome of outcomes) {
    const question = (await t.engine.call('sessions.question', { id }))!;
    asked.push(question);
    await t.engine.call('sessions.vote', { trialId: question.trialId, outcome });
  }
  return asked;
}

const tuneInput = (...sessionIds: string[]) => ({ algorithm: 'fake', modelId: TINY, sessionIds });

test('pairs are the decided votes, winner first; ties, skips, both-bad and void votes are left out', async () => {
  const t = testEngine();
  const pairs = await session(t, 'pair');
  const asked = await answer(t, pairs, 'left', 'tie', 'right', 'skip', 'both-bad', 'left');
  await t.engine.call('sessions.undo', { id: pairs });
  const best = await session(t, 'best-of-n');
  const question = (await t.engine.call('sessions.question', { id: best }))!;
  const winner = question.slots[1]!;
  await t.engine.call('sessions.vote', { trialId: question.trialId, winnerId: winner.sampleId });

  const run = await t.engine.call('tune.start', tuneInput(pairs, best));
  const payload = tunePayload.parse(jobs.get(t.project.db, run.jobId)!.payload);
  const hashes = payload.pairs.map((pair) => [pair.winner.hash, pair.loser.hash]);
  const [first, , third] = asked;
  expect(hashes.slice(0, 2)).toEqual([
    [first!.slots[0]!.hash, first!.slots[1]!.hash],
    [third!.slots[1]!.hash, third!.slots[0]!.hash],
  ]);
  const losers = question.slots.filter((slot) => slot !== winner).map(({ hash }) => hash);
  expect(hashes.slice(2)).toEqual(losers.map((hash) => [winner.hash, hash]));
  for (const pair of payload.pairs) expect(existsSync(pair.winner.trajectoryPath)).toBe(true);
});

test('a finished run has metrics, a strip and an adapter whose file is copied out of the run', async () => {
  const t = testEngine();
  const id = await session(t, 'pair');
  await answer(t, id, 'left', 'right');
  const run = await t.engine.call('tune.start', { ...tuneInput(id), name: 'First', config: { steps: 3 } });
  await t.reaches(run.jobId, 'done');
  const shown = await t.engine.call('runs.show', { id: run.id });
  expect(shown.metrics.map(({ step, values }) => [step, values.loss])).toEqual([0, 1, 2].map((s) => [s, 1 / (s + 1)]));
  expect(shown.strip.map(({ step }) => step)).toEqual([0, 1, 2]);
  expect(shown.run).toMatchObject({
    state: 'done',
    step: 3,
    totalSteps: 3,
    config: { steps: 3, stepMs: 0, waitAt: -1 },
  });
  const [adapter] = await t.engine.call('adapters.list', {});
  expect(adapter).toMatchObject({
    id: shown.run.adapterId,
    name: 'First',
    runId: run.id,
    rank: 4,
    verifiedDifference: 0,
  });
  expect(readFileSync(adapter!.path)).toEqual(readFileSync(join(run.directory, 'adapter.safetensors')));
  expect(existsSync(join(run.directory, 'config.json'))).toBe(true);

  const renamed = await t.engine.call('adapters.rename', { id: adapter!.id, name: 'Better' });
  const check = await t.engine.call('adapters.verify', { id: renamed.id });
  await t.reaches(check.id, 'done');
  expect((await t.engine.call('adapters.list', {}))[0]).toMatchObject({ name: 'Better', verifiedDifference: 0.25 });
});

test('a run that was paused goes on from its last step and logs every step once', async () => {
  const t = testEngine();
  const id = await session(t, 'pair');
  await answer(t, id, 'left');
  const run = await t.engine.call('tune.start', { ...tuneInput(id), config: { steps: 12, waitAt: 5 } });
  await t.event('metrics', ({ point }) => point.step === 4);
  await t.engine.call('jobs.pause', { id: run.jobId });
  await t.reaches(run.jobId, 'paused');
  await t.engine.call('jobs.resume', { id: run.jobId });
  await t.reaches(run.jobId, 'done');
  const { metrics } = await t.engine.call('runs.show', { id: run.id });
  expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, step) => step));
});

test('stop and keep writes the adapter as it is, from a running and from a paused run', async () => {
  const t = testEngine();
  const id = await session(t, 'pair');
  await answer(t, id, 'left');
  for (const pauseFirst of [false, true]) {
    const run = await t.engine.call('tune.start', { ...tuneInput(id), config: { steps: 1000, waitAt: 3 } });
    await t.event('metrics', ({ runId, point }) => runId === run.id && point.step === 2);
    if (pauseFirst) {
      await t.engine.call('jobs.pause', { id: run.jobId });
      await t.reaches(run.jobId, 'paused');
    }
    await t.engine.call('jobs.stopAndKeep', { id: run.jobId });
    await t.reaches(run.jobId, 'done');
    const shown = await t.engine.call('runs.show', { id: run.id });
    // The step it waited in is finished when it hears, and after a pause it goes on from there.
    expect(shown.run.step).toBeGreaterThan(2);
    expect(shown.run.step).toBeLessThan(1000);
    expect(shown.run.adapterId).not.toBeNull();
  }
  const generating = await t.engine.call('generate.start', { modelId: TINY, prompts: ['slow'], seed: 1 });
  await expect(t.engine.call('jobs.stopAndKeep', { id: generating.id })).rejects.toMatchObject({
    code: 'job/not-tuning',
  });
});

test('tuning is refused by name without decided votes, without trajectories, and with unknown settings', async () => {
  const t = testEngine();
  const empty = await session(t, 'pair');
  await answer(t, empty, 'tie');
  await expect(t.engine.call('tune.start', tuneInput(empty))).rejects.toMatchObject({ code: 'tune/no-votes' });
  const bare = await session(t, 'pair', false);
  await answer(t, bare, 'left');
  await expect(t.engine.call('tune.start', tuneInput(bare))).rejects.toMatchObject({
    code: 'tune/no-trajectories',
    message: expect.stringContaining('2 pictures'),
  });
  const good = await session(t, 'pair');
  await answer(t, good, 'left');
  const start = (input: object) => t.engine.call('tune.start', { ...tuneInput(good), ...input });
  await expect(start({ config: { step: 3 } })).rejects.toMatchObject({ code: 'tune/bad-setting' });
  await expect(start({ config: { steps: 0 } })).rejects.toMatchObject({ code: 'tune/bad-setting' });
  await expect(start({ algorithm: 'other' })).rejects.toMatchObject({ code: 'tune/unknown-algorithm' });
  expect(await t.engine.call('runs.list', {})).toEqual([]);
  await expect(
    t.engine.call('generate.start', { modelId: TINY, prompts: ['x'], seed: 1, eta: 0 }),
  ).rejects.toMatchObject({ code: 'generate/no-noise' });
});

test('an estimate is made by a compute process beside the queue, from the settings and the pairs', async () => {
  const t = testEngine();
  const id = await session(t, 'pair');
  await answer(t, id, 'left');
  const short = await t.engine.call('tune.estimate', { ...tuneInput(id), config: { steps: 3 } });
  const long = await t.engine.call('tune.estimate', { ...tuneInput(id), config: { steps: 30 } });
  expect(long.totalSeconds).toBe(10 * short.totalSeconds);
  expect(short.checkpoints).toBe(false);
  expect((await t.engine.call('jobs.list', {})).filter((job) => job.kind !== 'generate')).toEqual([]);
});

test('a run that would not fit is refused with what to do, and a newer question ends the one before', async () => {
  const t = testEngine();
  const id = await session(t, 'pair');
  await answer(t, id, 'left');
  const tooLarge = t.engine.call('tune.estimate', { ...tuneInput(id), config: { steps: 1000 } });
  await expect(tooLarge).rejects.toMatchObject({ code: 'train/does-not-fit', hint: 'Take less.' });
  const first = t.engine.call('tune.estimate', { ...tuneInput(id), config: { steps: 3 } });
  await Promise.all([
    expect(first).rejects.toMatchObject({ code: 'ask/superseded' }),
    t.engine.call('tune.estimate', { ...tuneInput(id), config: { steps: 4 } }),
  ]);
});
