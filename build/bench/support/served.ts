import { type ChildProcess, spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type {
  EventName,
  EventPayload,
  Input,
  Job,
  Output,
  ProcedureName,
  WireMessage,
} from '#pipelines/engine/contract.ts';

const root = resolve(import.meta.dirname, '../../..');

/** A real `northlight serve` on a project, spoken to over its WebSocket as the window does. */
export interface Served {
  call<N extends ProcedureName>(name: N, input: Input<N>): Promise<Output<N>>;
  on<N extends EventName>(name: N, listener: (payload: EventPayload<N>) => void): void;
  readonly process: ChildProcess;
  /** SIGKILL to the engine: nothing gets a chance to tidy up. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

export async function serveProject(project: string): Promise<Served> {
  const child = spawn(
    process.execPath,
    [join(root, 'pipelines/cli/main.ts'), 'serve', '--json', '--project', project],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  const url = await new Promise<string>((found, failed) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as { type: string; url?: string };
      if (message.url) found(message.url);
    });
    child.once('exit', (code) => failed(new Error(`serve ended with ${code}`)));
  });
  const first = await fetch(url, { redirect: 'manual' });
  const cookie = first.headers.get('set-cookie')!.split(';')[0]!;
  const { host, origin } = new URL(url);
  const Socket = WebSocket as unknown as new (url: string, options: object) => WebSocket;
  const socket = new Socket(`ws://${host}/ws`, { headers: { cookie, origin } });
  const waiting = new Map<number, { done: (r: unknown) => void; failed: (e: Error) => void }>();
  const listeners = new Map<string, ((payload: never) => void)[]>();
  let next = 1;
  const send = (message: WireMessage) => socket.send(JSON.stringify(message));
  await new Promise<void>((done, failed) => {
    socket.onerror = () => failed(new Error('no WebSocket'));
    socket.onopen = () => send({ t: 'hello', version: 1 });
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(String(data)) as WireMessage;
      if (message.t === 'hello') done();
      else if (message.t === 'ok') waiting.get(message.id)?.done(message.r);
      else if (message.t === 'err')
        waiting.get(message.id)?.failed(new Error(`${message.e.code}: ${message.e.message} ${message.e.hint}`));
      else if (message.t === 'ev') for (const l of listeners.get(message.topic) ?? []) l(message.d as never);
    };
  });
  return {
    process: child,
    call: (m, p) =>
      new Promise((done, failed) => {
        const id = next++;
        waiting.set(id, { done: done as (r: unknown) => void, failed });
        send({ t: 'call', id, m, p });
      }),
    on: (name, listener) => {
      listeners.set(name, [...(listeners.get(name) ?? []), listener as (payload: never) => void]);
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
    async close() {
      socket.close();
      child.kill('SIGINT');
      await exited;
    },
  };
}

/** Waits until a job has ended. @throws when it failed. */
export async function finished(served: Served, jobId: string): Promise<Job> {
  for (;;) {
    const job = (await served.call('jobs.list', {})).find((j) => j.id === jobId);
    if (job?.state === 'done') return job;
    if (job && ['failed', 'cancelled', 'set-aside', 'paused'].includes(job.state))
      throw new Error(`${job.title} is ${job.state}: ${job.error?.message ?? ''}`);
    await new Promise((r) => setTimeout(r, 500));
  }
}
