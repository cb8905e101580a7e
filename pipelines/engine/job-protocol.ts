import type { PlainError } from '#models/errors.ts';
import type { KeptModel } from './jobs/kept-model.ts';
import type { WantedModel } from './jobs/wanted-model.ts';

/**
 * What the engine and a compute process say to each other. A compute process runs one job at a time. After it, it exits, unless
 * it keeps a model open and says so. Everything it makes goes to the project's folder first (written atomically) and is
 * announced by path or hash afterwards, so a kill at any moment loses nothing that was announced.
 */
export interface JobSpec {
  readonly jobId: string;
  readonly kind:
    | 'generate'
    | 'tune'
    | 'compare'
    | 'verify'
    | 'score'
    | 'reproduce'
    | 'estimate'
    | 'bank'
    | 'values'
    | 'dry-step';
  /** Project folder. */
  readonly project: string;
  /** The job's own input, as JSON; each kind has its zod schema in `pipelines/engine/jobs/<kind>.ts`. */
  readonly payload: unknown;
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number | undefined;
}

export type ToCompute =
  /** Load what jobs need, and open this model if one is named: a job may come that wants it. */
  | { t: 'warm'; model: WantedModel | null }
  | { t: 'start'; spec: JobSpec }
  /** Wishes for the job that runs; none is heard between jobs. */
  | { t: 'pause' }
  | { t: 'cancel' }
  | { t: 'stop-and-keep' };

/** What a job says. The last message of each is `done`, `stopped` or `failed`. */
export type FromJob =
  | { t: 'progress'; stage: string; done: number; total: number }
  | { t: 'event'; topic: string; data: unknown }
  | { t: 'done'; result: unknown }
  /** The job stopped because it was told to; its journal is on disk and it can be resumed. */
  | { t: 'stopped'; reason: 'paused' | 'cancelled' }
  | { t: 'failed'; error: PlainError };

/** `idle` after the last message of a job: the process stays, with the model of this key open, and takes another job. */
export type FromCompute = FromJob | { t: 'idle'; key: string };

/** How a job talks to whoever runs it: the compute process's port, or the command line in the same process. */
export interface JobContext {
  readonly jobId: string;
  readonly project: string;
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number | undefined;
  progress(stage: string, done: number, total: number): void;
  event(topic: string, data: unknown): void;
  /** Opens models and keeps the last one open for the next job; absent: a job opens and closes its own. */
  readonly models?: KeptModel | undefined;
  /** Checked between steps. */
  readonly control: { readonly request: 'run' | 'pause' | 'cancel' | 'stop-and-keep' };
}

/** One kind of job. Resumes from its own journal when `payload` and project folder are the same as before. */
export type JobFunction = (payload: unknown, context: JobContext) => Promise<unknown>;
