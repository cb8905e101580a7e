import type { PlainError } from '#models/errors.ts';

/**
 * What the engine and a compute process say to each other. A compute process runs exactly one job, then exits. Everything
 * it makes goes to the project's folder first (written atomically) and is announced by path or hash afterwards, so a kill
 * at any moment loses nothing that was announced.
 */
export interface JobSpec {
  readonly jobId: string;
  readonly kind: 'generate' | 'tune' | 'compare' | 'verify' | 'score' | 'reproduce' | 'estimate';
  /** Project folder. */
  readonly project: string;
  /** The job's own input, as JSON; each kind has its zod schema in `pipelines/engine/jobs/<kind>.ts`. */
  readonly payload: unknown;
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number | undefined;
}

export type ToCompute = { t: 'start'; spec: JobSpec } | { t: 'pause' } | { t: 'cancel' } | { t: 'stop-and-keep' };

export type FromCompute =
  | { t: 'progress'; stage: string; done: number; total: number }
  | { t: 'event'; topic: string; data: unknown }
  | { t: 'done'; result: unknown }
  /** The job stopped because it was told to; its journal is on disk and it can be resumed. */
  | { t: 'stopped'; reason: 'paused' | 'cancelled' }
  | { t: 'failed'; error: PlainError };

/** How a job talks to whoever runs it: the compute process's port, or the command line in the same process. */
export interface JobContext {
  readonly jobId: string;
  readonly project: string;
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number | undefined;
  progress(stage: string, done: number, total: number): void;
  event(topic: string, data: unknown): void;
  /** Checked between steps. */
  readonly control: { readonly request: 'run' | 'pause' | 'cancel' | 'stop-and-keep' };
}

/** One kind of job. Resumes from its own journal when `payload` and project folder are the same as before. */
export type JobFunction = (payload: unknown, context: JobContext) => Promise<unknown>;
