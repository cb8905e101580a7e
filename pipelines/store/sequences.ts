import { createHash } from 'node:crypto';
import { z } from 'zod';
import { count, json } from './columns.ts';
import type { Db, Value } from './db.ts';
import { newId } from './ids.ts';
import { scoresColumn, scoreTable } from './score-table.ts';

const row = z
  .object({
    seq: z.number().int(),
    id: z.string(),
    hash: z.string(),
    letters: z.string(),
    class_name: z.string().nullable(),
    model_id: z.string(),
    adapter_id: z.string().nullable(),
    seed: z.number().int(),
    idx: z.number().int(),
    steps: z.number().int(),
    scheduler: z.string(),
    eta: z.number(),
    guidance_scale: z.number(),
    job_id: z.string(),
    created_at: z.string(),
    scores: json(z.record(z.string(), z.number())),
  })
  .transform((r) => ({
    /** Grows with every sequence. */
    seq: r.seq,
    id: r.id,
    /** SHA-256 of the letters. */
    hash: r.hash,
    letters: r.letters,
    className: r.class_name,
    modelId: r.model_id,
    adapterId: r.adapter_id,
    seed: r.seed,
    /** Place in its job, and with the seed what its random numbers are a function of. */
    index: r.idx,
    steps: r.steps,
    scheduler: r.scheduler,
    eta: r.eta,
    guidanceScale: r.guidance_scale,
    jobId: r.job_id,
    createdAt: r.created_at,
    /** What rewards said, by specification. */
    scores: r.scores,
  }));
export type SequenceRow = z.output<typeof row>;

export type NewSequence = Omit<SequenceRow, 'seq' | 'id' | 'hash' | 'createdAt' | 'scores'>;

const columns = `seq, id, hash, letters, class_name, model_id, adapter_id, seed, idx, steps, scheduler, eta, guidance_scale, job_id,
  created_at, ${scoresColumn('sequence')}`;

const own = scoreTable('sequence');
const unscored = z.object({ seq: z.number().int(), letters: z.string() });

export interface SequenceFilter {
  readonly jobId?: string | undefined;
  /** Only those that this reward scored, between the two. */
  readonly reward?: string | undefined;
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
  readonly limit: number;
  /** The `seq` after which to go on; 0 begins. */
  readonly after: number;
}

export const sequences = {
  /** Adds it unless its place in its job is taken: then nothing changes. Returns its `seq`, and whether it is new. */
  add: (db: Db, s: NewSequence): { readonly seq: number; readonly isNew: boolean } => {
    const added = db.run(
      `INSERT INTO sequences (id, hash, letters, class_name, model_id, adapter_id, seed, idx, steps, scheduler, eta,
         guidance_scale, job_id, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, idx) DO NOTHING`,
      [
        newId('sequence'),
        createHash('sha256').update(s.letters).digest('hex'),
        s.letters,
        s.className,
        s.modelId,
        s.adapterId,
        s.seed,
        s.index,
        s.steps,
        s.scheduler,
        s.eta,
        s.guidanceScale,
        s.jobId,
        new Date().toISOString(),
      ],
    );
    const at = db.get(z.object({ seq: z.number().int() }), 'SELECT seq FROM sequences WHERE job_id = ? AND idx = ?', [
      s.jobId,
      s.index,
    ]);
    return { seq: at!.seq, isNew: added > 0 };
  },
  /** In the order in which they were made; `total` counts all that match, whatever `limit` and `after`. */
  list: (db: Db, filter: SequenceFilter): { sequences: SequenceRow[]; total: number } => {
    const where: string[] = [];
    const params: Value[] = [];
    const add = (condition: string, ...values: Value[]) => {
      where.push(condition);
      params.push(...values);
    };
    if (filter.jobId !== undefined) add('job_id = ?', filter.jobId);
    if (filter.reward !== undefined) {
      const { atLeast, atMost } = filter;
      const bounds = `${atLeast === undefined ? '' : ' AND r.value >= ?'}${atMost === undefined ? '' : ' AND r.value <= ?'}`;
      add(
        `EXISTS (SELECT 1 FROM sequence_rewards r WHERE r.sequence = sequences.seq AND r.reward = ?${bounds})`,
        filter.reward,
        ...[atLeast, atMost].filter((value) => value !== undefined),
      );
    }
    const all = where.length === 0 ? '1' : where.join(' AND ');
    const total = db.get(count, `SELECT count(*) AS n FROM sequences WHERE ${all}`, params)?.n ?? 0;
    const found = db.all(row, `SELECT ${columns} FROM sequences WHERE ${all} AND seq > ? ORDER BY seq LIMIT ?`, [
      ...params,
      filter.after,
      filter.limit,
    ]);
    return { sequences: found, total };
  },
  bySeqs: (db: Db, seqs: readonly number[]): SequenceRow[] =>
    db.all(row, `SELECT ${columns} FROM sequences WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq`, [
      JSON.stringify(seqs),
    ]),
  putScores: own.put,
  rewards: own.rewards,
  /** Those that this reward has not scored. */
  unscored: (db: Db, reward: string, seqs: readonly number[]): { seq: number; letters: string }[] =>
    db.all(
      unscored,
      `SELECT seq, letters FROM sequences s WHERE seq IN (SELECT value FROM json_each(?))
         AND NOT EXISTS (SELECT 1 FROM sequence_rewards r WHERE r.reward = ? AND r.sequence = s.seq) ORDER BY seq`,
      [JSON.stringify(seqs), reward],
    ),
};
