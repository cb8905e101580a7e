import { beforeEach, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import type { FromCompute, JobContext, JobFunction, JobSpec, ToCompute } from '#pipelines/engine/job-protocol.ts';
import type { KeptModel } from '#pipelines/engine/jobs/kept-model.ts';
import { runCompute } from '#pipelines/engine/run-compute.ts';

let said: FromCompute[];
let exits: number[];
let tell: (message: ToCompute) => void;
let closeLine: () => void;
/** Jobs that have begun: what they were given, and how they end. */
let begun: { context: JobContext; end(result?: unknown): void; fail(error: Error): void }[];
let key: string | null;

const spec = (jobId: string): JobSpec => ({ jobId, kind: 'generate', project: '/p', payload: {} });

beforeEach(() => {
  said = [];
  exits = [];
  begun = [];
  key = 'a model';
  const job: JobFunction = (_payload, context) =>
    new Promise((end, fail) => void begun.push({ context, end: (result) => end(result), fail }));
  const jobs = {
    generate: job,
    tune: job,
    compare: job,
    verify: job,
    score: job,
    reproduce: job,
    estimate: job,
    bank: job,
    values: job,
    'dry-step': job,
  };
  const models = {
    get key() {
      return key;
    },
  } as KeptModel;
  runCompute(
    {
      send: async (message) => void said.push(message),
      onMessage: (listener) => {
        tell = listener;
      },
      onClosed: (listener) => {
        closeLine = listener;
      },
      exit: (code) => void exits.push(code),
    },
    async () => ({ jobs, models, warm: async () => Promise.reject(new Error('no such model')) }),
  );
});

/** Starts a job and waits until it has begun. */
async function start(jobId: string) {
  const n = begun.length;
  tell({ t: 'start', spec: spec(jobId) });
  await expect.poll(() => begun.length).toBe(n + 1);
  return begun[n]!;
}

/** What it says from now on, up to `idle` or its exit. */
async function ending(end: () => void): Promise<FromCompute[]> {
  said.length = 0;
  end();
  await expect.poll(() => exits.length > 0 || said.at(-1)?.t === 'idle').toBe(true);
  return said;
}

const idle = { t: 'idle', key: 'a model' };

test('with a model open, a finished or cancelled job leaves the process ready for the next', async () => {
  const first = await start('first');
  expect(await ending(() => first.end(1))).toEqual([{ t: 'done', result: 1 }, idle]);
  const second = await start('second');
  expect(second.context.jobId).toBe('second');
  tell({ t: 'cancel' });
  expect(await ending(() => second.end(null))).toEqual([{ t: 'stopped', reason: 'cancelled' }, idle]);
  expect(exits).toEqual([]);
});

test('without one it exits, and so it does after a pause or a failure', async () => {
  key = null;
  const first = await start('first');
  expect(await ending(() => first.end(1))).toEqual([{ t: 'done', result: 1 }]);
  key = 'a model';
  exits.length = 0;
  const second = await start('second');
  tell({ t: 'pause' });
  expect(await ending(() => second.end())).toEqual([{ t: 'stopped', reason: 'paused' }]);
  exits.length = 0;
  const third = await start('third');
  const error = { code: 'fake/failed', message: 'No.', hint: 'Do.' };
  const failed = await ending(() => third.fail(new NorthlightError(error.code, error.message, error.hint)));
  expect(failed).toEqual([{ t: 'failed', error }]);
  expect(exits).toEqual([0]);
});

test('what one job was told does not reach the next, nor does what nobody was there to hear', async () => {
  const first = await start('first');
  tell({ t: 'cancel' });
  await ending(() => first.end());
  tell({ t: 'pause' });
  tell({ t: 'cancel' });
  const second = await start('second');
  expect(second.context.control.request).toBe('run');
  tell({ t: 'stop-and-keep' });
  expect([first.context.control.request, second.context.control.request]).toEqual(['cancel', 'stop-and-keep']);
  expect(await ending(() => second.end(2))).toEqual([{ t: 'done', result: 2 }, idle]);
});

test('what a job says after its end is heard by nobody', async () => {
  const first = await start('first');
  await ending(() => first.end(1));
  said.length = 0;
  first.context.event('sampleFile', 'late');
  const second = await start('second');
  first.context.progress('late', 9, 9);
  second.context.progress('in time', 1, 2);
  expect(said).toEqual([{ t: 'progress', stage: 'in time', done: 1, total: 2 }]);
});

test('a second job is not started beside the first', async () => {
  const first = await start('first');
  tell({ t: 'start', spec: spec('second') });
  expect(await ending(() => first.end(1))).toEqual([{ t: 'done', result: 1 }, idle]);
  expect(begun).toHaveLength(1);
});

test('a model that cannot be opened ahead harms nobody, and says nothing', async () => {
  tell({ t: 'warm', model: { modelPath: '/none', adapters: [] } });
  const job = await start('job');
  expect(await ending(() => job.end(1))).toEqual([{ t: 'done', result: 1 }, idle]);
});

test('when the engine is gone the process goes too, within a job as between two', async () => {
  const first = await start('first');
  closeLine();
  expect(exits).toEqual([1]);
  exits.length = 0;
  await ending(() => first.end());
  expect(exits).toEqual([]);
  closeLine();
  expect(exits).toEqual([1]);
});
