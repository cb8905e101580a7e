import { z } from 'zod';
import { json } from './columns.ts';
import type { Db } from './db.ts';

const row = z
  .object({
    id: z.string(),
    job_id: z.string(),
    algorithm: z.string(),
    model_id: z.string(),
    name: z.string(),
    state: z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled', 'set-aside']),
    step: z.number().int(),
    total_steps: z.number().int(),
    directory: z.string(),
    config: json(z.record(z.string(), z.unknown())),
    created_at: z.string(),
    adapter_id: z.string().nullable(),
  })
  .transform((r) => ({
    id: r.id,
    jobId: r.job_id,
    algorithm: r.algorithm,
    modelId: r.model_id,
    name: r.name,
    state: r.state,
    step: r.step,
    totalSteps: r.total_steps,
    /** Relative to the project. */
    directory: r.directory,
    config: r.config,
    createdAt: r.created_at,
    adapterId: r.adapter_id,
  }));
export type RunRow = z.output<typeof row>;

const select = `SELECT r.id, r.job_id, r.algorithm, r.model_id, r.name, j.state, r.step, r.total_steps, r.directory, r.config,
  r.created_at, (SELECT a.id FROM adapters a WHERE a.run_id = r.id) AS adapter_id
  FROM runs r JOIN jobs j ON j.id = r.job_id`;

const frame = z.object({
  step: z.number().int(),
  pictures: json(z.array(z.object({ prompt: z.string(), hash: z.string() }))),
});
export type StripRow = z.output<typeof frame>;

export const runs = {
  /** Newest first. */
  all: (db: Db): RunRow[] => db.all(row, `${select} ORDER BY r.seq DESC`),
  get: (db: Db, id: string): RunRow | undefined => db.get(row, `${select} WHERE r.id = ?`, [id]),
  add: (db: Db, r: Omit<RunRow, 'state' | 'step' | 'createdAt' | 'adapterId'>): void => {
    db.run(
      `INSERT INTO runs (id, job_id, algorithm, model_id, name, total_steps, directory, config, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        r.id,
        r.jobId,
        r.algorithm,
        r.modelId,
        r.name,
        r.totalSteps,
        r.directory,
        JSON.stringify(r.config),
        new Date().toISOString(),
      ],
    );
  },
  step: (db: Db, id: string, step: number): void => {
    db.run('UPDATE runs SET step = ? WHERE id = ?', [step, id]);
  },
};

export const strips = {
  ofRun: (db: Db, runId: string): StripRow[] =>
    db.all(frame, 'SELECT step, pictures FROM strips WHERE run_id = ? ORDER BY step', [runId]),
  put: (db: Db, runId: string, value: StripRow): void => {
    db.run(
      `INSERT INTO strips (run_id, step, pictures) VALUES (?, ?, ?)
       ON CONFLICT (run_id, step) DO UPDATE SET pictures = excluded.pictures`,
      [runId, value.step, JSON.stringify(value.pictures)],
    );
  },
};
