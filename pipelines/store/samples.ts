import { z } from 'zod';
import { count, flag, json } from './columns.ts';
import type { Db, Value } from './db.ts';
import { scoresColumn } from './score-table.ts';

const row = z
  .object({
    seq: z.number().int(),
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
    trashed_at: z.string().nullable(),
    start_picture: z.string().nullable(),
    start_mask: z.string().nullable(),
    strength: z.number().nullable(),
    clip_skip: z.number().int(),
    tags: json(z.array(z.string())),
    scores: json(z.record(z.string(), z.number())),
  })
  .transform((r) => ({
    /** Grows with every sample; short where `id` is unguessable. */
    seq: r.seq,
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
    trashed: r.trashed_at !== null,
    /** The picture it was made from, by the SHA-256 of its file and of its mask's; null: from noise alone. */
    start:
      r.start_picture === null ? null : { picture: r.start_picture, mask: r.start_mask, strength: r.strength ?? 1 },
    clipSkip: r.clip_skip,
    /** By name. */
    tags: r.tags,
    /** What rewards said, by specification. */
    scores: r.scores,
  }));
export type SampleRow = z.output<typeof row>;

export type NewSample = Omit<SampleRow, 'seq' | 'starred' | 'createdAt' | 'trashed' | 'tags' | 'scores'> & {
  position: number;
};

const columns = `seq, id, hash, prompt, negative_prompt, model_id, adapter_id, seed, idx, steps, scheduler, eta, guidance_scale,
  width, height, has_trajectory, starred, job_id, created_at, side, hidden, trashed_at,
  start_picture, start_mask, strength, clip_skip,
  (SELECT json_group_array(name) FROM (SELECT t.name FROM sample_tags m JOIN tags t ON t.id = m.tag
     WHERE m.sample = samples.seq ORDER BY t.name)) AS tags,
  ${scoresColumn('sample')}`;

const purged = z.object({ hash: z.string() });

export interface SampleFilter {
  readonly jobId?: string | undefined;
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
  /** Those of the samples that lists may show, trash included, in no order. */
  bySeqs: (db: Db, seqs: readonly number[]): SampleRow[] =>
    db.all(row, `SELECT ${columns} FROM samples WHERE hidden = 0 AND seq IN (SELECT value FROM json_each(?))`, [
      JSON.stringify(seqs),
    ]),
  /** Newest first, without the hidden and trashed ones; `total` counts all that match, whatever `limit` and `before`. */
  list: (db: Db, filter: SampleFilter): { samples: SampleRow[]; total: number } => {
    const where = ['hidden = 0', 'trashed_at IS NULL'];
    const params: Value[] = [];
    const add = (condition: string, value: Value) => {
      where.push(condition);
      params.push(value);
    };
    if (filter.jobId !== undefined) add('job_id = ?', filter.jobId);
    if (filter.starred !== undefined) add('starred = ?', filter.starred ? 1 : 0);
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
         guidance_scale, width, height, has_trajectory, job_id, position, side, hidden, created_at, start_picture, start_mask, strength,
         clip_skip)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
        s.start?.picture ?? null,
        s.start?.mask ?? null,
        s.start?.strength ?? null,
        s.clipSkip,
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
  /** As `star`, for many. */
  starAll: (db: Db, seqs: readonly number[], starred: boolean): void => {
    db.run('UPDATE samples SET starred = ? WHERE hidden = 0 AND seq IN (SELECT value FROM json_each(?))', [
      starred ? 1 : 0,
      JSON.stringify(seqs),
    ]);
  },
  /** Out of all lists; files, votes and sessions keep what they have. Returns how many were not there already. */
  trash: (db: Db, seqs: readonly number[]): number =>
    db.run(
      `UPDATE samples SET trashed_at = ? WHERE hidden = 0 AND trashed_at IS NULL
         AND seq IN (SELECT value FROM json_each(?))`,
      [new Date().toISOString(), JSON.stringify(seqs)],
    ),
  restore: (db: Db, seqs: readonly number[]): number =>
    db.run(
      `UPDATE samples SET trashed_at = NULL WHERE trashed_at IS NOT NULL AND seq IN (SELECT value FROM json_each(?))`,
      [JSON.stringify(seqs)],
    ),
  /**
   * Forgets what is in the trash, except what a ranking session or comparison holds and what an unfinished job made.
   * Returns the content addresses (of pictures, and of what they started from) that nothing in the project refers to any
   * more.
   */
  purge: (db: Db): string[] =>
    db.tx(() => {
      const gone = `trashed_at IS NOT NULL AND seq IN (SELECT s.seq FROM samples s JOIN jobs j ON j.id = s.job_id
        WHERE s.trashed_at IS NOT NULL AND j.state IN ('done', 'failed', 'cancelled', 'set-aside')
          AND NOT EXISTS (SELECT 1 FROM session_samples m WHERE m.sample_id = s.id))`;
      const hashes = db
        .all(
          purged,
          `SELECT hash FROM samples WHERE ${gone}
           UNION SELECT start_picture FROM samples WHERE start_picture IS NOT NULL AND ${gone}
           UNION SELECT start_mask FROM samples WHERE start_mask IS NOT NULL AND ${gone}`,
        )
        .map(({ hash }) => hash);
      db.run(`DELETE FROM samples WHERE ${gone}`);
      const used = `SELECT 1 AS n FROM samples WHERE hash = ?1 OR start_picture = ?1 OR start_mask = ?1
        UNION ALL SELECT 1 FROM strips WHERE instr(pictures, ?1)
        UNION ALL SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'paused') AND instr(payload, ?1) LIMIT 1`;
      return hashes.filter((hash) => db.get(count, used, [hash]) === undefined);
    }),
  trashSize: (db: Db): number =>
    db.get(count, 'SELECT count(*) AS n FROM samples WHERE trashed_at IS NOT NULL AND hidden = 0')?.n ?? 0,
  reveal: (db: Db, sessionId: string): void => {
    db.run('UPDATE samples SET hidden = 0 WHERE id IN (SELECT sample_id FROM session_samples WHERE session_id = ?)', [
      sessionId,
    ]);
  },
};
