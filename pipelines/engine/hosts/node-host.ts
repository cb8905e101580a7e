import { fork } from 'node:child_process';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import type { FromCompute } from '#pipelines/engine/job-protocol.ts';
import type { ComputeHandle, ProcessHost } from '#pipelines/engine/process-host.ts';

/** The window and other programs stay responsive while a job has all cores. */
const COMPUTE_PRIORITY = 5;

export interface NodeHostOptions {
  /** The compute process's script; `compute.ts` by default. */
  readonly entry?: string;
}

/** Compute processes as plain Node children. They end when this process is gone. */
export function createNodeHost(options: NodeHostOptions = {}): ProcessHost {
  const entry = options.entry ?? fileURLToPath(new URL('../compute.ts', import.meta.url));
  return { fork: () => forkCompute(entry) };
}

function forkCompute(entry: string): ComputeHandle {
  const child = fork(entry, [], {
    serialization: 'advanced',
    execArgv: [],
    env: { ...process.env, ...COMPUTE_ENVIRONMENT },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  child.on('spawn', () => lowerPriority(child.pid));
  let exited = false;
  let listener: ((detail: string) => void) | undefined;
  let ending: string | undefined;
  const end = (detail: string) => {
    if (exited) return;
    exited = true;
    ending = detail;
    listener?.(detail);
  };
  let code: string | undefined;
  child.on('exit', (exitCode, signal) => {
    code = signal === null ? `exit code ${exitCode}` : `signal ${signal}`;
    // A connected channel may still hold messages; 'disconnect' comes after them.
    if (!child.connected) end(code);
  });
  child.on('disconnect', () => {
    if (code !== undefined) end(code);
  });
  child.on('close', () => end(code ?? 'closed'));
  child.on('error', (error) => {
    if (child.pid === undefined) end(error.message);
  });
  return {
    get pid() {
      return child.pid;
    },
    send: (message) => {
      if (!child.connected) return;
      // A child that dies while being spoken to is reported by its exit.
      child.send(message, () => {});
    },
    onMessage: (receive) => {
      child.on('message', (message) => receive(message as unknown as FromCompute));
    },
    onExit: (receive) => {
      listener = receive;
      if (exited) receive(ending ?? '');
    },
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}

function lowerPriority(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, COMPUTE_PRIORITY);
  } catch {
    // The process has ended already, or the system does not allow it: it only runs at normal priority.
  }
}
