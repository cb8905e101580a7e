import { z } from 'zod';
import { count, json } from './columns.ts';
import type { Db } from './db.ts';

const kind = z.enum(['generate', 'tune', 'compare', 'verify', 'score', 'reproduce', 'bank', 'values', 'dry-step']);
const state = z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled', 'set-aside']);
export type JobState = z.output<typeof state>;

/** What the engine remembers about a job beside its payload: ids, where the payload has paths. */
const origin = z.object({
  modelId: z.string(),
  adapterId: z.string().nullable(),
  adapterA: z.string().nullable(),
  adapterB: z.string().nullable(),
  /** What a job that generates makes; absent: pictures. */
  makes: z.enum(['pictures', 'sequences']).optional(),
});
export type JobOrigin = z.output<typeof origin>;

const row = z
  .object({
    id: z.string(),
    kind,
    title: z.string(),
    state,
    stage: z.string(),
    done: z.number(),
    total: z.number(),
    created_at: z.string(),
    crashes: z.number().int(),
    error: json(z.object({ code: z.string(), message: z.string(), hint: z.string() })).nullable(),
    payload: json(z.unknown()),
    origin: json(origin),
    run_id: z.string().nullable(),
    session_id: z.string().nullable(),
  })
  .transform(({ created_at, run_id, session_id, ...rest }) => ({
    ...rest,
    createdAt: created_at,
    runId: run_id,
    sessionId: session_id,
  }));
export type JobRow = z.output<typeof row>;

export type NewJob = Pick<JobRow, 'id' | 'kind' | 'title' | 'total' | 'payload' | 'origin' | 'runId' | 'sessionId'>;

const columns =
  'id, kind, title, state, stage, done, total, created_at, crashes, error, payload, origin, run_id, session_id';

const nextPlace = '(SELECT COALESCE(max(place), 0) + 1 FROM jobs)';

export const jobs = {
  /** Newest first. */
  all: (db: Db): JobRow[] => db.all(row, `SELECT ${columns} FROM jobs ORDER BY created_at DESC, rowid DESC`),
  get: (db: Db, id: string): JobRow | undefined => db.get(row, `SELECT ${columns} FROM jobs WHERE id = ?`, [id]),
  /** What a finished job gave back; undefined before. */
  resultOf: (db: Db, id: string): unknown =>
    db.get(z.object({ result: json(z.unknown()).nullable() }), 'SELECT result FROM jobs WHERE id = ?', [id])?.result ??
    undefined,
  inState: (db: Db, wanted: JobState): JobRow[] =>
    db.all(row, `SELECT ${columns} FROM jobs WHERE state = ? ORDER BY place`, [wanted]),
  /** How many jobs that are not finished use this adapter or model. */
  unfinishedOf: (db: Db, modelId: string): number =>
    db.get(count, `SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'running') AND origin ->> 'modelId' = ?`, [
      modelId,
    ])?.n ?? 0,
  add: (db: Db, job: NewJob): void => {
    db.run(
      `INSERT INTO jobs (id, kind, title, state, total, created_at, place, payload, origin, run_id, session_id)
       VALUES (?, ?, ?, 'queued', ?, ?, ${nextPlace}, ?, ?, ?, ?)`,
      [
        job.id,
        job.kind,
        job.title,
        job.total,
        new Date().toISOString(),
        JSON.stringify(job.payload),
        JSON.stringify(job.origin),
        job.runId,
        job.sessionId,
      ],
    );
  },
  /** To the end of the queue. */
  queue: (db: Db, id: string, crashes: number): void => {
    db.run(
      `UPDATE jobs SET state = 'queued', stage = '', error = NULL, crashes = ?, finished_at = NULL, place = ${nextPlace} WHERE id = ?`,
      [crashes, id],
    );
  },
  progress: (db: Db, id: string, stage: string, done: number, total: number): void => {
    db.run('UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ?', [stage, done, total, id]);
  },
  settle: (
    db: Db,
    id: string,
    change: { state: JobState; stage: string; crashes: number; error: JobRow['error']; result?: unknown },
  ): void => {
    db.run('UPDATE jobs SET state = ?, stage = ?, crashes = ?, error = ?, result = ?, finished_at = ? WHERE id = ?', [
      change.state,
      change.stage,
      change.crashes,
      change.error ? JSON.stringify(change.error) : null,
      change.result === undefined ? null : JSON.stringify(change.result),
      change.state === 'running' ? null : new Date().toISOString(),
      id,
    ]);
  },
};
