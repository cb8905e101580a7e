import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { votes } from '#pipelines/store/sessions.ts';
import { bundledFolder, generated, TINY, temporaryFolder, testEngine } from '#test/support/engine.ts';

const VOTER = join(import.meta.dirname, '..', '..', 'support', 'voting-process.ts');

/** Runs the voting process, kills it with SIGKILL `afterMs` after its first vote, and returns the votes it acknowledged. */
async function voteUntilKilled(args: string[], afterMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [VOTER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const exited = new Promise<NodeJS.Signals | null>((resolve) => child.on('close', (_code, signal) => resolve(signal)));
  const first = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      output += chunk;
      resolve();
    });
  });
  await Promise.race([first, exited]);
  await sleep(afterMs);
  child.kill('SIGKILL');
  expect(await exited).toBe('SIGKILL');
  // The last line may be cut: that vote was not acknowledged to the end.
  return output.split('\n').slice(0, -1);
}

function isRunning(pid: number): boolean {
  try {
    // An ended process that nobody collected still has an entry.
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('every acknowledged vote survives a kill of the engine at random moments, and none is doubled', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['red', 'blue', 'green', 'grey'], 16);
  const { id } = await t.engine.call('sessions.create', { name: 'votes', jobIds: [jobId] });
  await t.close();
  const bundled = bundledFolder(temporaryFolder());
  const rng = new Rng(11);
  const acknowledged: string[] = [];
  for (let round = 0; round < 4; round++) {
    acknowledged.push(...(await voteUntilKilled([t.directory, bundled, id], Math.floor(rng.uniform() * 120))));
  }
  const again = testEngine(t.directory);
  const stored = votes.ofSession(again.project.db, id).map(({ trialId }) => trialId);
  expect(acknowledged.length).toBeGreaterThan(4);
  expect(stored).toEqual(expect.arrayContaining(acknowledged));
  expect(new Set(stored).size).toBe(stored.length);
  // At most the one vote of each round that was stored but not yet told.
  expect(stored.length - acknowledged.length).toBeLessThanOrEqual(4);
});

test('a job that ran while the engine was killed comes back paused, then set aside; its orphan ends itself', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['red'], 16);
  const { id } = await t.engine.call('sessions.create', { name: 'votes', jobIds: [jobId] });
  const long = await t.engine.call('generate.start', { modelId: TINY, prompts: ['slow'], count: 500, seed: 1 });
  await t.event('sample');
  await t.close();
  const bundled = bundledFolder(temporaryFolder());
  const [compute] = await voteUntilKilled([t.directory, bundled, id, long.id], 100);
  await expect.poll(() => isRunning(Number(compute!.split(' ')[1])), { timeout: 5000 }).toBe(false);
  const once = testEngine(t.directory);
  expect(await once.job(long.id)).toMatchObject({ state: 'paused', crashes: 1, error: { code: 'job/crashed' } });
  const kept = (await once.engine.call('samples.list', { jobId: long.id })).total;
  expect(kept).toBeGreaterThan(0);
  await once.close();
  await voteUntilKilled([t.directory, bundled, id, long.id], 100);
  const twice = testEngine(t.directory);
  expect(await twice.job(long.id)).toMatchObject({ state: 'set-aside', crashes: 2 });
  expect((await twice.engine.call('samples.list', { jobId: long.id })).total).toBeGreaterThanOrEqual(kept);
});

test('votes go on while compute processes are killed at random moments', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['red'], 12);
  const { id } = await t.engine.call('sessions.create', { name: 'votes', jobIds: [jobId] });
  const long = await t.engine.call('generate.start', { modelId: TINY, prompts: ['slow'], count: 512, seed: 2 });
  await t.event('sample');
  const rng = new Rng(5);
  let question = await t.engine.call('sessions.question', { id });
  for (let n = 0; n < 40 && question; n++) {
    ({ next: question } = await t.engine.call('sessions.vote', { trialId: question.trialId, outcome: 'right' }));
    if (n % 10 === 9) {
      await sleep(Math.floor(rng.uniform() * 80));
      t.handles.at(-1)?.kill();
      await t.reaches(long.id, 'paused', 'set-aside');
      await t.engine.call('jobs.resume', { id: long.id });
    }
  }
  expect(votes.ofSession(t.project.db, id)).toHaveLength(40);
  const { samples } = await t.engine.call('samples.list', { jobId: long.id, limit: 500 });
  expect(new Set(samples.map(({ index }) => index)).size).toBe(samples.length);
});
