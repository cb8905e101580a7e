import { z } from 'zod';
import type { Db } from './db.ts';

const row = z
  .object({
    id: z.string(),
    name: z.string(),
    model_id: z.string(),
    run_id: z.string().nullable(),
    hash: z.string(),
    path: z.string(),
    rank: z.number().int(),
    created_at: z.string(),
    verified_difference: z.number().nullable(),
  })
  .transform((r) => ({
    id: r.id,
    name: r.name,
    modelId: r.model_id,
    runId: r.run_id,
    hash: r.hash,
    /** Relative to the project. */
    path: r.path,
    rank: r.rank,
    createdAt: r.created_at,
    verifiedDifference: r.verified_difference,
  }));
export type AdapterRow = z.output<typeof row>;

const columns = 'id, name, model_id, run_id, hash, path, rank, created_at, verified_difference';

export const adapters = {
  /** Newest first. */
  all: (db: Db): AdapterRow[] => db.all(row, `SELECT ${columns} FROM adapters ORDER BY created_at DESC, rowid DESC`),
  get: (db: Db, id: string): AdapterRow | undefined =>
    db.get(row, `SELECT ${columns} FROM adapters WHERE id = ?`, [id]),
  ofRun: (db: Db, runId: string): AdapterRow | undefined =>
    db.get(row, `SELECT ${columns} FROM adapters WHERE run_id = ?`, [runId]),
  /** Adds an adapter; the one a run already has is replaced, keeping its id and name. */
  put: (db: Db, a: Omit<AdapterRow, 'createdAt'>): void => {
    db.run(
      `INSERT INTO adapters (id, name, model_id, run_id, hash, path, rank, created_at, verified_difference)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (run_id) WHERE run_id IS NOT NULL DO UPDATE SET
         hash = excluded.hash, path = excluded.path, rank = excluded.rank, verified_difference = excluded.verified_difference`,
      [a.id, a.name, a.modelId, a.runId, a.hash, a.path, a.rank, new Date().toISOString(), a.verifiedDifference],
    );
  },
  rename: (db: Db, id: string, name: string): void => {
    db.run('UPDATE adapters SET name = ? WHERE id = ?', [name, id]);
  },
  verified: (db: Db, id: string, difference: number): void => {
    db.run('UPDATE adapters SET verified_difference = ? WHERE id = ?', [difference, id]);
  },
};
