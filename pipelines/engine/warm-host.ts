import { z } from 'zod';
import type { FromCompute, JobSpec, ToCompute } from './job-protocol.ts';
import { firstModelOf, modelKey, type WantedModel } from './jobs/wanted-model.ts';
import type { ComputeHandle, ProcessHost } from './process-host.ts';

export interface WarmTimes {
  /** A model that is open is let go when nobody has asked for it for so long. */
  readonly keptMs: number;
  /** A spare process is started when nothing has run for so long: before, it would slow down what somebody waits for. */
  readonly spareMs: number;
}

const DEFAULT_TIMES: WarmTimes = { keptMs: 5 * 60_000, spareMs: 1000 };

/** Jobs that open no large network of their own: a model may stay open beside them. */
const SMALL: readonly JobSpec['kind'][] = ['score'];

/** Compute processes for jobs, some of them ready before they are asked for. */
export interface WarmHost {
  /**
   * A process for this job: the one that has its model open, or else a spare one, or a new one. The handle is that of the job: it
   * ends with it, while the process may go on to another.
   */
  fork(spec: JobSpec): ComputeHandle;
  /** Opens a model for a job that may come; does nothing while one runs. */
  warm(model: WantedModel): void;
  /** Lets go of the model that is open; resolves when its files are closed. */
  release(): Promise<void>;
  /** Ends every process. */
  close(): void;
}

/** One process, with at most one job. */
interface Child {
  readonly handle: ComputeHandle;
  readonly gone: Promise<void>;
  job: Job | null;
  /** It was there before its job. */
  waited: boolean;
  killed: boolean;
}

/** A job as its process sees it. */
interface Job {
  child: Child;
  /** All that it was told, for a process that takes it over. */
  readonly told: ToCompute[];
  /** Its process has said something of it. */
  begun: boolean;
  hear(message: FromCompute): void;
  end(detail: string): void;
}

const idleMessage = z.object({ t: z.literal('idle'), key: z.string() });

/**
 * At most two processes wait: a spare one, with the code of jobs and the runtime loaded, and one that has kept its model after
 * a job. The second is ended before a job runs that wants another model or the memory.
 */
export function createWarmHost(host: ProcessHost, given: Partial<WarmTimes> = {}): WarmHost {
  const times = { ...DEFAULT_TIMES, ...given };
  const processes = new Set<Child>();
  let spare: Child | null = null;
  let kept: { readonly child: Child; readonly key: string; readonly timer: NodeJS.Timeout } | null = null;
  let spareTimer: NodeJS.Timeout | undefined;
  let closed = false;

  const launch = (): Child => {
    const handle = host.fork();
    let resolveGone = () => {};
    const gone = new Promise<void>((resolve) => {
      resolveGone = resolve;
    });
    const child: Child = { handle, gone, job: null, waited: false, killed: false };
    processes.add(child);
    handle.onMessage((message) => {
      const { job } = child;
      if (job === null) return;
      const idle = idleMessage.safeParse(message);
      if (!idle.success) return job.hear(message);
      if (child.killed) return;
      // Before the job ends: its end may start the next one at once.
      keep(child, idle.data.key);
      child.job = null;
      job.end('waits for another job');
      spareLater();
    });
    handle.onExit((detail) => {
      processes.delete(child);
      if (spare === child) spare = null;
      if (kept?.child === child) forget();
      resolveGone();
      const { job } = child;
      child.job = null;
      if (!job) return;
      // It may have died while it waited, which is nothing that the job did.
      if (child.waited && !child.killed && !job.begun && moved(job)) return;
      job.end(detail);
      spareLater();
    });
    return child;
  };

  /** Whether there was another process for the job. */
  const moved = (job: Job): boolean => {
    try {
      job.child = take();
    } catch {
      return false;
    }
    job.child.job = job;
    for (const message of job.told) job.child.handle.send(message);
    return true;
  };

  const kill = (child: Child): void => {
    child.killed = true;
    child.handle.kill();
  };

  const forget = (): void => {
    clearTimeout(kept?.timer);
    kept = null;
  };

  const keep = (child: Child, key: string): void => {
    if (kept && kept.child !== child) kill(kept.child);
    forget();
    child.waited = true;
    kept = { child, key, timer: setTimeout(() => void release(), times.keptMs).unref() };
  };

  const release = async (): Promise<void> => {
    const child = kept?.child;
    forget();
    if (!child) return;
    kill(child);
    await child.gone;
  };

  /** The spare process, which is then no longer one, or a new one. */
  const take = (): Child => {
    const child = spare ?? launch();
    spare = null;
    return child;
  };

  const isBusy = () => [...processes].some(({ job }) => job !== null);

  const spareLater = (): void => {
    clearTimeout(spareTimer);
    if (closed) return;
    spareTimer = setTimeout(() => {
      if (spare || isBusy()) return;
      try {
        spare = launch();
        spare.waited = true;
        spare.handle.send({ t: 'warm', model: null });
      } catch {
        // The job that needs a process will say why there is none.
      }
    }, times.spareMs).unref();
  };

  const childFor = (spec: JobSpec): Child => {
    const model = firstModelOf(spec);
    if (kept && model && kept.key === modelKey(model)) {
      const { child } = kept;
      forget();
      return child;
    }
    if (!SMALL.includes(spec.kind)) void release();
    return take();
  };

  spareLater();
  return {
    fork(spec) {
      return lease(childFor(spec), kill);
    },
    warm(model) {
      if (closed || isBusy()) return;
      const key = modelKey(model);
      if (kept?.key === key) return keep(kept.child, key);
      void release();
      const child = take();
      child.handle.send({ t: 'warm', model });
      keep(child, key);
      spareLater();
    },
    release,
    close() {
      closed = true;
      clearTimeout(spareTimer);
      forget();
      for (const child of processes) kill(child);
    },
  };
}

/** A process as the engine sees it for one job: what is heard of it, and what it is told, ends with the job. */
function lease(child: Child, kill: (child: Child) => void): ComputeHandle {
  const listeners: ((message: FromCompute) => void)[] = [];
  const exits: ((detail: string) => void)[] = [];
  let ended: string | undefined;
  const job: Job = {
    child,
    told: [],
    begun: false,
    hear: (message) => {
      job.begun = true;
      for (const listener of listeners) listener(message);
    },
    end: (detail) => {
      ended = detail;
      for (const listener of exits) listener(detail);
    },
  };
  child.job = job;
  return {
    get pid() {
      return job.child.handle.pid;
    },
    send: (message) => {
      if (ended !== undefined) return;
      job.told.push(message);
      job.child.handle.send(message);
    },
    onMessage: (listener) => void listeners.push(listener),
    onExit: (listener) => {
      if (ended === undefined) exits.push(listener);
      else listener(ended);
    },
    kill: () => {
      if (ended === undefined) kill(job.child);
    },
  };
}
