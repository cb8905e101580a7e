import { z } from 'zod';
import { count, flag } from './columns.ts';
import type { Db, Value } from './db.ts';

const row = z
  .object({
    id: z.string(),
    hash: z.string(),
    prompt: z.string(),
    negative_prompt: z.string(),
    model_id: z.string(),
    adapter_id: z.string().nullable(),
    seed: z.number().int(),
    idx: z.number().int(),
    steps: z.number().int(),
    scheduler: z.string(),
    eta: z.number(),
    guidance_scale: z.number(),
    width: z.number().int(),
    height: z.number().int(),
    has_trajectory: flag,
    starred: flag,
    job_id: z.string(),
    created_at: z.string(),
    side: z.enum(['', 'A', 'B']),
    hidden: flag,
  })
  .transform((r) => ({
    id: r.id,
    hash: r.hash,
    prompt: r.prompt,
    negativePrompt: r.negative_prompt,
    modelId: r.model_id,
    adapterId: r.adapter_id,
    seed: r.seed,
    index: r.idx,
    steps: r.steps,
    scheduler: r.scheduler,
    eta: r.eta,
    guidanceScale: r.guidance_scale,
    width: r.width,
    height: r.height,
    hasTrajectory: r.has_trajectory,
    starred: r.starred,
    jobId: r.job_id,
    createdAt: r.created_at,
    side: r.side === '' ? null : r.side,
    hidden: r.hidden,
  }));
export type SampleRow = z.output<typeof row>;

export type NewSample = Omit<SampleRow, 'starred' | 'createdAt'> & { position: number };

const columns = `id, hash, prompt, negative_prompt, model_id, adapter_id, seed, idx, steps, scheduler, eta, guidance_scale,
  width, height, has_trajectory, starred, job_id, created_at, side, hidden`;

export interface SampleFilter {
  readonly jobId?: string | undefined;
  /** Words of the prompt, in any case. */
  readonly search?: string | undefined;
  readonly starred?: boolean | undefined;
  readonly limit: number;
  /** Only pictures older than this one. */
  readonly before?: string | undefined;
}

export const samples = {
  get: (db: Db, id: string): SampleRow | undefined => db.get(row, `SELECT ${columns} FROM samples WHERE id = ?`, [id]),
  at: (db: Db, jobId: string, side: 'A' | 'B' | null, position: number): SampleRow | undefined =>
    db.get(row, `SELECT ${columns} FROM samples WHERE job_id = ? AND side = ? AND position = ?`, [
      jobId,
      side ?? '',
      position,
    ]),
  ofJob: (db: Db, jobId: string): SampleRow[] =>
    db.all(row, `SELECT ${columns} FROM samples WHERE job_id = ? ORDER BY position, side`, [jobId]),
  ofSession: (db: Db, sessionId: string): SampleRow[] =>
    db.all(
      row,
      `SELECT ${columns} FROM samples WHERE id IN (SELECT sample_id FROM session_samples WHERE session_id = ?) ORDER BY seq`,
      [sessionId],
    ),
  /** Newest first, without the hidden ones; `total` counts all that match, whatever `limit` and `before`. */
  list: (db: Db, filter: SampleFilter): { samples: SampleRow[]; total: number } => {
    const where = ['hidden = 0'];
    const params: Value[] = [];
    const add = (condition: string, value: Value) => {
      where.push(condition);
      params.push(value);
    };
    if (filter.jobId !== undefined) add('job_id = ?', filter.jobId);
    if (filter.starred !== undefined) add('starred = ?', filter.starred ? 1 : 0);
    for (const word of filter.search?.split(/\s+/).filter(Boolean).slice(0, 20) ?? []) {
      add(`prompt LIKE ? ESCAPE '\\'`, `%${word.replace(/[\\%_]/g, '\\$&')}%`);
    }
    const total = db.get(count, `SELECT count(*) AS n FROM samples WHERE ${where.join(' AND ')}`, params)?.n ?? 0;
    if (filter.before !== undefined) add('seq < (SELECT seq FROM samples WHERE id = ?)', filter.before);
    const found = db.all(row, `SELECT ${columns} FROM samples WHERE ${where.join(' AND ')} ORDER BY seq DESC LIMIT ?`, [
      ...params,
      filter.limit,
    ]);
    return { samples: found, total };
  },
  add: (db: Db, s: NewSample): void => {
    db.run(
      `INSERT INTO samples (id, hash, prompt, negative_prompt, model_id, adapter_id, seed, idx, steps, scheduler, eta,
         guidance_scale, width, height, has_trajectory, job_id, position, side, hidden, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        s.id,
        s.hash,
        s.prompt,
        s.negativePrompt,
        s.modelId,
        s.adapterId,
        s.seed,
        s.index,
        s.steps,
        s.scheduler,
        s.eta,
        s.guidanceScale,
        s.width,
        s.height,
        s.hasTrajectory ? 1 : 0,
        s.jobId,
        s.position,
        s.side ?? '',
        s.hidden ? 1 : 0,
        new Date().toISOString(),
      ],
    );
  },
  /** The picture at a known position came out anew (its job was run again after its file was lost). */
  replace: (db: Db, id: string, change: { hash: string; hasTrajectory: boolean }): void => {
    db.run('UPDATE samples SET hash = ?, has_trajectory = ? WHERE id = ?', [
      change.hash,
      change.hasTrajectory ? 1 : 0,
      id,
    ]);
  },
  star: (db: Db, id: string, starred: boolean): void => {
    db.run('UPDATE samples SET starred = ? WHERE id = ?', [starred ? 1 : 0, id]);
  },
  reveal: (db: Db, sessionId: string): void => {
    db.run('UPDATE samples SET hidden = 0 WHERE id IN (SELECT sample_id FROM session_samples WHERE session_id = ?)', [
      sessionId,
    ]);
  },
};
