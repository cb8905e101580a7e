import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createUtilityProcessHost } from '#electron/process-host.ts';
import type { FromEngine } from '#electron/protocol.ts';
import type { FromCompute, JobSpec } from '#pipelines/engine/job-protocol.ts';
import { FakeChannel } from '#test/electron/fake-electron.ts';

const spec: JobSpec = { jobId: 'j', kind: 'generate', project: '/p', payload: {} };
const progress: FromCompute = { t: 'progress', stage: 's', done: 1, total: 2 };
const done: FromCompute = { t: 'done', result: 1 };

let said: FromEngine[];
let host: ReturnType<typeof createUtilityProcessHost>;
beforeEach(() => {
  said = [];
  host = createUtilityProcessHost((message) => said.push(message));
});

/** Asks for a process and plays the main process: wires it up. */
function forked() {
  const handle = host.fork();
  const { id } = said.at(-1) as { id: number };
  const { port1, port2 } = new FakeChannel();
  const heard: FromCompute[] = [];
  const exits: string[] = [];
  handle.onMessage((message) => heard.push(message));
  handle.onExit((detail) => exits.push(detail));
  return {
    handle,
    id,
    heard,
    exits,
    compute: port2,
    connect: () => host.receive({ t: 'compute', id }, port1 as never),
  };
}

describe('compute processes of the desktop app', () => {
  test('are asked for, and what was sent before they listen is kept in order', () => {
    const { handle, id, compute, connect } = forked();
    expect(said).toEqual([{ t: 'spawn', id }]);
    handle.send({ t: 'start', spec });
    handle.send({ t: 'pause' });
    connect();
    const received: unknown[] = [];
    compute.on('message', ({ data }) => received.push(data));
    compute.start();
    handle.send({ t: 'cancel' });
    expect(received).toEqual([{ t: 'start', spec }, { t: 'pause' }, { t: 'cancel' }]);
  });

  test('speak to their own handle only', () => {
    const [first, second] = [forked(), forked()];
    first.connect();
    second.connect();
    second.compute.postMessage(progress);
    expect([first.heard, second.heard]).toEqual([[], [progress]]);
  });

  test('end once, after their last message, also when the news of the exit comes first', () => {
    vi.useFakeTimers();
    const { id, heard, exits, compute, connect } = forked();
    connect();
    host.receive({ t: 'compute-exit', id, detail: 'exit code 0' }, undefined);
    expect(exits).toEqual([]);
    compute.postMessage(done);
    compute.close();
    expect([heard, exits]).toEqual([[done], ['exit code 0']]);
    vi.advanceTimersByTime(10_000);
    expect(exits).toHaveLength(1);
    vi.useRealTimers();
  });

  test('end also when the port never says that it closed', () => {
    vi.useFakeTimers();
    const { id, exits, connect } = forked();
    connect();
    host.receive({ t: 'compute-exit', id, detail: 'exit code 134' }, undefined);
    vi.advanceTimersByTime(500);
    expect(exits).toEqual(['exit code 134']);
    vi.useRealTimers();
  });

  test('that die before they are wired up end at once; a late listener still hears it', () => {
    const { handle, id, exits } = forked();
    host.receive({ t: 'compute-exit', id, detail: 'exit code 1' }, undefined);
    expect(exits).toEqual(['exit code 1']);
    handle.onExit((detail) => exits.push(`late: ${detail}`));
    handle.send({ t: 'pause' });
    expect(exits).toEqual(['exit code 1', 'late: exit code 1']);
  });

  test('learn their process id, and are killed through the main process', () => {
    const { handle, id } = forked();
    expect(handle.pid).toBeUndefined();
    host.receive({ t: 'compute-pid', id, pid: 42 }, undefined);
    handle.kill();
    expect([handle.pid, said.at(-1)]).toEqual([42, { t: 'kill', id }]);
  });

  test('messages for the engine itself are left to it', () => {
    expect([host.receive({ t: 'window' }, undefined), host.receive({ t: 'shutdown' }, undefined)]).toEqual([
      false,
      false,
    ]);
  });
});
