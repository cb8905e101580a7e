import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { FromCompute, JobSpec, ToCompute } from '#pipelines/engine/job-protocol.ts';
import { firstModelOf, modelKey } from '#pipelines/engine/jobs/wanted-model.ts';
import type { ComputeHandle, ProcessHost } from '#pipelines/engine/process-host.ts';
import { createWarmHost, type WarmHost } from '#pipelines/engine/warm-host.ts';

/** Processes that do what the test says; the system ends a killed one when it is told to `die`. */
interface FakeProcess {
  readonly told: ToCompute[];
  killed: boolean;
  say(message: FromCompute): void;
  die(detail?: string): void;
}

let processes: FakeProcess[];
let host: WarmHost;

const fakeHost: ProcessHost = {
  fork(): ComputeHandle {
    let listener = (_message: FromCompute) => {};
    let exit = (_detail: string) => {};
    const process: FakeProcess = {
      told: [],
      killed: false,
      say: (message) => listener(message),
      die: (detail = 'signal SIGKILL') => exit(detail),
    };
    processes.push(process);
    return {
      pid: processes.length,
      send: (message) => void process.told.push(message),
      onMessage: (given) => {
        listener = given;
      },
      onExit: (given) => {
        exit = given;
      },
      kill: () => {
        process.killed = true;
      },
    };
  },
};

beforeEach(() => {
  vi.useFakeTimers();
  processes = [];
  host = createWarmHost(fakeHost, { keptMs: 60_000, spareMs: 1000 });
});
afterEach(() => {
  host.close();
  vi.useRealTimers();
});

const payload = { modelPath: '/models/a', adapterPath: null as string | null, clipSkip: 1 };
const generate = (change: Partial<typeof payload> = {}, threads?: number): JobSpec => ({
  ...{ jobId: 'job', kind: 'generate', project: '/p', payload: { ...payload, ...change }, threads },
});
const ofKind = (kind: JobSpec['kind']): JobSpec => ({ ...generate(), kind, payload: {} });

/** A job from its start; `finish` lets it end as `done` with its model kept. */
function run(spec: JobSpec) {
  const handle = host.fork(spec);
  const heard: FromCompute[] = [];
  const exits: string[] = [];
  handle.onMessage((message) => heard.push(message));
  handle.onExit((detail) => exits.push(detail));
  handle.send({ t: 'start', spec });
  const process = processes[handle.pid! - 1]!;
  const finish = () => {
    process.say({ t: 'done', result: null });
    process.say({ t: 'idle', key: modelKey(firstModelOf(spec)!) });
  };
  return { handle, heard, exits, process, finish };
}

test('a job of the same model takes the process that has it open; it hears nothing of the job before', () => {
  const first = run(generate());
  first.finish();
  expect(first.heard).toEqual([{ t: 'done', result: null }]);
  expect(first.exits).toHaveLength(1);
  const second = run(generate());
  expect(second.process).toBe(first.process);
  second.process.say({ t: 'progress', stage: 'of the second', done: 1, total: 2 });
  expect([first.heard.length, second.heard.length]).toEqual([1, 1]);
  expect(first.process.killed).toBe(false);
});

test.each([
  ['another model', generate({ modelPath: '/models/b' })],
  ['an adapter', generate({ adapterPath: '/adapters/x' })],
  ['another clip skip', generate({ clipSkip: 2 })],
  ['another number of threads', generate({}, 1)],
  ['a tuning run', ofKind('tune')],
  ['a check of an adapter', ofKind('verify')],
  ['an estimate', ofKind('estimate')],
])('%s takes another process, and the model is let go first', (_name, spec) => {
  const first = run(generate());
  first.finish();
  const second = run(spec);
  expect(second.process).not.toBe(first.process);
  expect(first.process.killed).toBe(true);
});

test('a comparison takes the process of its first side, and leaves that of its second', () => {
  const sides = { modelPath: '/models/a', adapterAPath: null, adapterBPath: '/adapters/x' };
  const first = run(generate());
  first.finish();
  const compare = run({ ...generate(), kind: 'compare', payload: sides });
  expect(compare.process).toBe(first.process);
  compare.process.say({ t: 'done', result: null });
  compare.process.say({ t: 'idle', key: modelKey(firstModelOf(generate({ adapterPath: '/adapters/x' }))!) });
  expect(run(generate({ adapterPath: '/adapters/x' })).process).toBe(first.process);
});

test('pictures are scored in another process beside the open model', () => {
  const first = run(generate());
  first.finish();
  const score = run(ofKind('score'));
  expect(score.process).not.toBe(first.process);
  score.process.die('exit code 0');
  expect(run(generate()).process).toBe(first.process);
});

test('the handle of a job that has ended reaches the process no more', () => {
  const first = run(generate());
  first.finish();
  const second = run(generate());
  const told = second.process.told.length;
  first.handle.send({ t: 'cancel' });
  first.handle.kill();
  expect(second.process.told).toHaveLength(told);
  expect(second.process.killed).toBe(false);
  const late: string[] = [];
  first.handle.onExit((detail) => late.push(detail));
  expect(late).toEqual(first.exits);
});

test('a process without an open model ends with its job, and the job with it', () => {
  const first = run(ofKind('tune'));
  first.process.say({ t: 'done', result: 1 });
  expect(first.exits).toEqual([]);
  first.process.die('exit code 0');
  expect(first.exits).toEqual(['exit code 0']);
});

test('a process that was killed is not kept, whatever it still says', () => {
  const first = run(generate());
  first.handle.kill();
  first.finish();
  expect(first.exits).toEqual([]);
  expect(run(generate()).process).not.toBe(first.process);
  first.process.die();
  expect(first.exits).toEqual(['signal SIGKILL']);
});

test('a process that dies while it waits is forgotten; nobody hears of it', () => {
  const first = run(generate());
  first.finish();
  first.process.die();
  expect(first.exits).toHaveLength(1);
  expect(run(generate()).process).not.toBe(first.process);
});

test('a job whose process has died while it waited, unseen, goes to another with all it was told', () => {
  const first = run(generate());
  first.finish();
  const second = run(generate());
  second.handle.send({ t: 'pause' });
  first.process.die();
  expect(second.exits).toEqual([]);
  expect(processes[1]!.told).toEqual([{ t: 'start', spec: generate() }, { t: 'pause' }]);
  processes[1]!.die('signal SIGABRT');
  expect(second.exits).toEqual(['signal SIGABRT']);
});

test('a job that has begun ends with its process, also in one that waited; so does one that was killed', () => {
  const first = run(generate());
  first.finish();
  const second = run(generate());
  second.process.say({ t: 'progress', stage: 'opening the model', done: 0, total: 1 });
  second.process.die();
  expect(second.exits).toEqual(['signal SIGKILL']);
  const third = run(generate());
  third.finish();
  const fourth = run(generate());
  fourth.handle.kill();
  fourth.process.die();
  expect(fourth.exits).toEqual(['signal SIGKILL']);
  expect(processes).toHaveLength(2);
});

test('an open model is let go after a while, counted from its last use', () => {
  const { process, finish } = run(generate());
  finish();
  vi.advanceTimersByTime(40_000);
  host.warm(firstModelOf(generate())!);
  vi.advanceTimersByTime(40_000);
  run(generate()).finish();
  vi.advanceTimersByTime(59_999);
  expect(process.killed).toBe(false);
  vi.advanceTimersByTime(1);
  expect(process.killed).toBe(true);
});

test('a model is opened ahead in the spare process, not while a job runs, and not twice', () => {
  const model = firstModelOf(generate())!;
  vi.advanceTimersByTime(1000);
  expect(processes.map(({ told }) => told)).toEqual([[{ t: 'warm', model: null }]]);
  host.warm(model);
  host.warm(model);
  expect(processes.map(({ told }) => told)).toEqual([
    [
      { t: 'warm', model: null },
      { t: 'warm', model },
    ],
  ]);
  const { process } = run(generate());
  expect(process).toBe(processes[0]);
  host.warm(firstModelOf(generate({ modelPath: '/models/b' }))!);
  expect(processes).toHaveLength(1);
});

test('a spare process starts only when nothing runs, and one is enough', () => {
  const first = run(generate());
  vi.advanceTimersByTime(10_000);
  expect(processes).toHaveLength(1);
  first.finish();
  vi.advanceTimersByTime(999);
  expect(processes).toHaveLength(1);
  vi.advanceTimersByTime(10_000);
  expect(processes).toHaveLength(2);
  expect(run(generate({ modelPath: '/models/b' })).process).toBe(processes[1]);
});

test('a spare process that dies is not started again and again', () => {
  vi.advanceTimersByTime(1000);
  processes[0]!.die('exit code 1');
  vi.advanceTimersByTime(60_000);
  expect(processes).toHaveLength(1);
});

test('letting go is over when the process is gone', async () => {
  const first = run(generate());
  first.finish();
  let released = false;
  const release = host.release().then(() => {
    released = true;
  });
  await Promise.resolve();
  expect([first.process.killed, released]).toEqual([true, false]);
  first.process.die();
  await release;
  await host.release();
});

test('closing ends every process, and starts none', () => {
  run(generate()).finish();
  vi.advanceTimersByTime(1000);
  run(ofKind('score'));
  host.close();
  expect(processes.map(({ killed }) => killed)).toEqual([true, true]);
  for (const process of processes) process.die();
  vi.advanceTimersByTime(60_000);
  expect(processes).toHaveLength(2);
});
