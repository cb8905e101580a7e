import { z } from 'zod';
import { NorthlightError, type PlainError, toPlainError } from '#models/errors.ts';
import type { Db } from '#pipelines/store/db.ts';
import { type JobRow, jobs, type NewJob } from '#pipelines/store/jobs.ts';
import type { Job } from './contract.ts';
import { createEta } from './eta.ts';
import type { FromJob, ToCompute } from './job-protocol.ts';
import type { ComputeHandle } from './process-host.ts';
import type { WarmHost } from './warm-host.ts';

/** A job that crashed this often in a row is not offered to run again by itself. */
const SET_ASIDE_AFTER = 2;
const RETRY_MS = 5000;

export interface QueueTimes {
  /** After a soft cancel the compute process has this long to end a step before it is killed. */
  readonly cancelMs: number;
  /** The same when the engine closes. */
  readonly closeMs: number;
  /** A process that said how it ended has this long to be gone. */
  readonly exitMs: number;
  /** Progress reaches windows at most this often. */
  readonly progressMs: number;
}

const DEFAULT_TIMES: QueueTimes = { cancelMs: 20_000, closeMs: 10_000, exitMs: 5_000, progressMs: 200 };

/** What the engine does with what jobs say. May throw: the job then fails with that error. */
export interface QueueListener {
  /** A job changed; called for every state and, throttled, for progress. */
  job(job: Job): void;
  event(row: JobRow, topic: string, data: unknown): void;
  /** Inside the transaction that marks the job done. */
  done(row: JobRow, result: unknown): void;
}

export interface JobQueue {
  list(): Job[];
  /** @throws NorthlightError `job/unknown` */
  get(id: string): Job;
  /** Stores a new job at the end of the queue. Call `start` after the transaction that adds it. */
  add(job: NewJob): Job;
  /** Runs the first queued job unless one is running. */
  start(): void;
  cancel(id: string, hard: boolean): Promise<Job>;
  pause(id: string): Job;
  resume(id: string): Job;
  stopAndKeep(id: string): Job;
  /** Pauses the running job, waits for it, and starts nothing more. */
  close(): Promise<void>;
}

interface Running {
  readonly row: JobRow;
  readonly handle: ComputeHandle;
  readonly exited: Promise<void>;
  stage: string;
  done: number;
  total: number;
  etaSeconds: number | null;
  savedAt: number;
  shownAt: number;
  show: NodeJS.Timeout | null;
  deadline: NodeJS.Timeout | null;
  /** Why it was killed by us, if so. */
  killed: 'cancelled' | 'paused' | null;
  ending: Extract<FromJob, { t: 'done' | 'stopped' | 'failed' }> | null;
  /** The engine could not use what the job said. */
  fault: PlainError | null;
}

/** One compute job at a time, first in first out. Every state is in the database before anybody hears of it. */
export function createJobQueue(options: {
  readonly db: Db;
  readonly project: string;
  readonly host: Pick<WarmHost, 'fork'>;
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number;
  readonly listener: QueueListener;
  readonly times?: Partial<QueueTimes>;
}): JobQueue {
  const { db, listener } = options;
  const times = { ...DEFAULT_TIMES, ...options.times };
  let running: Running | null = null;
  let closed = false;
  /** Paused jobs that are started again only to write their result. */
  const keepAtOnce = new Set<string>();

  recover(db);

  const view = (row: JobRow): Job => {
    const live = running?.row.id === row.id ? running : null;
    return {
      id: row.id,
      kind: row.kind,
      title: row.title,
      state: row.state,
      stage: live?.stage ?? row.stage,
      done: live?.done ?? row.done,
      total: live?.total ?? row.total,
      etaSeconds: live?.etaSeconds ?? null,
      createdAt: row.createdAt,
      crashes: row.crashes,
      error: row.error,
      modelId: row.origin.modelId,
      makes: row.origin.makes ?? 'pictures',
      runId: row.runId,
      sessionId: row.sessionId,
    };
  };

  const find = (id: string): JobRow => {
    const row = jobs.get(db, id);
    if (row) return row;
    throw new NorthlightError('job/unknown', `There is no job ${id}.`, 'It may belong to another project.');
  };

  const announce = (id: string): Job => {
    const job = view(find(id));
    listener.job(job);
    return job;
  };

  const settle = (row: JobRow, change: Omit<Parameters<typeof jobs.settle>[2], 'stage'> & { stage?: string }): void => {
    jobs.settle(db, row.id, { stage: '', ...change });
  };

  const begin = (row: JobRow): void => {
    settle(row, { state: 'running', stage: 'starting', crashes: row.crashes, error: null });
    const spec = {
      jobId: row.id,
      kind: row.kind,
      project: options.project,
      payload: row.payload,
      threads: options.threads,
    };
    let handle: ComputeHandle;
    try {
      handle = options.host.fork(spec);
    } catch (error) {
      settle(row, { state: 'failed', crashes: row.crashes, error: toPlainError(error) });
      announce(row.id);
      queueMicrotask(start);
      return;
    }
    let resolveExit = () => {};
    const exited = new Promise<void>((resolve) => {
      resolveExit = resolve;
    });
    const current: Running = {
      row,
      handle,
      exited,
      stage: 'starting',
      done: row.done,
      total: row.total,
      etaSeconds: null,
      savedAt: 0,
      shownAt: 0,
      show: null,
      deadline: null,
      killed: null,
      ending: null,
      fault: null,
    };
    running = current;
    const eta = createEta();
    handle.onMessage((message) => {
      if (current.ending || current.fault) return;
      try {
        receive(current, fromJob.parse(message), eta);
      } catch (error) {
        current.fault = toPlainError(error);
        handle.kill();
      }
    });
    handle.onExit((detail) => {
      if (current.show) clearTimeout(current.show);
      if (current.deadline) clearTimeout(current.deadline);
      finish(current, detail, resolveExit);
    });
    handle.send({ t: 'start', spec });
    if (keepAtOnce.delete(row.id)) handle.send({ t: 'stop-and-keep' });
    announce(row.id);
  };

  /** What became of a job must reach the disk: with none left, it is tried again until there is. */
  const finish = (current: Running, detail: string, resolveExit: () => void): void => {
    if (running === current) running = null;
    try {
      end(current, detail);
    } catch (error) {
      console.error(error);
      if (!closed) {
        setTimeout(() => finish(current, detail, resolveExit), RETRY_MS);
        return;
      }
    }
    resolveExit();
    try {
      start();
    } catch (error) {
      console.error(error);
    }
  };

  const receive = (current: Running, message: FromJob, eta: ReturnType<typeof createEta>): void => {
    if (message.t === 'event') {
      listener.event(current.row, message.topic, message.data);
    } else if (message.t === 'progress') {
      const now = performance.now();
      current.stage = current.killed ? current.stage : message.stage;
      current.done = message.done;
      current.total = message.total;
      current.etaSeconds = eta(message.done, message.total, now / 1000);
      if (now - current.savedAt > 1000) {
        current.savedAt = now;
        jobs.progress(db, current.row.id, message.stage, message.done, message.total);
      }
      showSoon(current, now);
    } else {
      current.ending = message;
      killAfter(current, times.exitMs, null);
    }
  };

  const showSoon = (current: Running, now: number): void => {
    if (current.show) return;
    const wait = Math.max(0, current.shownAt + times.progressMs - now);
    current.show = setTimeout(() => {
      current.show = null;
      current.shownAt = performance.now();
      if (running === current) announce(current.row.id);
    }, wait);
  };

  const killAfter = (current: Running, ms: number, reason: Running['killed']): void => {
    if (current.deadline) clearTimeout(current.deadline);
    current.deadline = setTimeout(() => {
      current.killed = reason;
      current.handle.kill();
    }, ms);
  };

  const end = (current: Running, detail: string): void => {
    const { row, ending, fault, killed } = current;
    jobs.progress(db, row.id, current.stage, current.done, current.total);
    if (fault) {
      settle(row, { state: 'failed', crashes: 0, error: fault });
    } else if (ending?.t === 'done') {
      try {
        db.tx(() => {
          listener.done(row, ending.result);
          jobs.progress(db, row.id, '', current.total, current.total);
          settle(row, { state: 'done', crashes: 0, error: null, result: ending.result });
        });
      } catch (error) {
        settle(row, { state: 'failed', crashes: 0, error: toPlainError(error) });
      }
    } else if (ending?.t === 'failed') {
      settle(row, { state: 'failed', crashes: 0, error: ending.error });
    } else if (ending?.t === 'stopped') {
      settle(row, { state: ending.reason, crashes: 0, error: null });
    } else if (killed) {
      settle(row, { state: killed, crashes: 0, error: null });
    } else {
      settle(row, crashed(row, `The compute process ended unexpectedly (${detail})`));
    }
    announce(row.id);
  };

  const start = (): void => {
    if (closed || running) return;
    const next = jobs.inState(db, 'queued')[0];
    if (next) begin(next);
  };

  const tell = (current: Running, message: ToCompute, stage: string): void => {
    current.stage = stage;
    current.handle.send(message);
  };

  const refuse = (row: JobRow, what: string): never => {
    throw new NorthlightError('job/wrong-state', `"${row.title}" is ${row.state} and cannot be ${what}.`);
  };

  return {
    list: () => jobs.all(db).map(view),
    get: (id) => view(find(id)),
    add: (job) => {
      jobs.add(db, job);
      return view(find(job.id));
    },
    start,
    cancel: async (id, hard) => {
      const row = find(id);
      if (running?.row.id === id) {
        const current = running;
        if (hard) {
          current.killed = 'cancelled';
          current.handle.kill();
          await current.exited;
          return view(find(id));
        }
        tell(current, { t: 'cancel' }, 'cancelling');
        killAfter(current, times.cancelMs, 'cancelled');
        return announce(id);
      }
      if (['done', 'cancelled'].includes(row.state)) return view(row);
      settle(row, { state: 'cancelled', crashes: row.crashes, error: row.error });
      return announce(id);
    },
    pause: (id) => {
      const row = find(id);
      if (running?.row.id === id) {
        tell(running, { t: 'pause' }, 'pausing');
      } else if (row.state === 'queued') {
        settle(row, { state: 'paused', crashes: row.crashes, error: null });
      } else if (row.state !== 'paused') {
        refuse(row, 'paused');
      }
      return announce(id);
    },
    resume: (id) => {
      const row = find(id);
      if (row.state === 'queued' || row.state === 'running') return view(row);
      if (row.state === 'done') refuse(row, 'resumed');
      // A person who resumes a job that was set aside gives it a clean slate.
      jobs.queue(db, id, row.state === 'set-aside' ? 0 : row.crashes);
      start();
      return announce(id);
    },
    stopAndKeep: (id) => {
      const row = find(id);
      if (row.kind !== 'tune') {
        throw new NorthlightError('job/not-tuning', `"${row.title}" is no tuning run.`, 'Cancel it instead.');
      }
      if (running?.row.id === id) {
        tell(running, { t: 'stop-and-keep' }, 'writing the adapter');
      } else if (row.state === 'paused') {
        keepAtOnce.add(id);
        jobs.queue(db, id, row.crashes);
        start();
      } else {
        refuse(row, 'stopped');
      }
      return announce(id);
    },
    close: async () => {
      closed = true;
      if (!running) return;
      const current = running;
      tell(current, { t: 'pause' }, 'pausing');
      killAfter(current, times.closeMs, 'paused');
      await current.exited;
    },
  };
}

/**
 * Nothing starts by itself when a project is opened: a job that was running when the engine ended crashed with it, and the
 * queue behind it waits for a person too.
 */
function recover(db: Db): void {
  db.tx(() => {
    for (const row of jobs.inState(db, 'running')) {
      jobs.settle(db, row.id, { stage: '', ...crashed(row, 'Northlight ended while this job was running') });
    }
    for (const row of jobs.inState(db, 'queued')) {
      jobs.settle(db, row.id, { state: 'paused', stage: '', crashes: row.crashes, error: null });
    }
  });
}

function crashed(row: JobRow, what: string): { state: 'paused' | 'set-aside'; crashes: number; error: PlainError } {
  const crashes = row.crashes + 1;
  const again = crashes >= SET_ASIDE_AFTER;
  return {
    state: again ? 'set-aside' : 'paused',
    crashes,
    error: {
      code: 'job/crashed',
      message: `${what}${again ? `, ${crashes} times in a row` : ''}. What it had finished is kept.`,
      hint: again
        ? 'Try smaller pictures, fewer at once or another model; often the memory was not enough.'
        : 'Resume it to go on from where it was.',
    },
  };
}

const fromJob: z.ZodType<FromJob> = z.discriminatedUnion('t', [
  z.object({ t: z.literal('progress'), stage: z.string(), done: z.number(), total: z.number() }),
  z.object({ t: z.literal('event'), topic: z.string(), data: z.unknown() }),
  z.object({ t: z.literal('done'), result: z.unknown() }),
  z.object({ t: z.literal('stopped'), reason: z.enum(['paused', 'cancelled']) }),
  z.object({
    t: z.literal('failed'),
    error: z.object({ code: z.string(), message: z.string(), hint: z.string() }),
  }),
]);
