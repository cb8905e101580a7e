import { z } from 'zod';
import { flag } from './columns.ts';
import type { Db } from './db.ts';

const row = z
  .object({ id: z.string(), path: z.string(), bundled: flag, removed_at: z.string().nullable() })
  .transform((r) => ({ id: r.id, path: r.path, bundled: r.bundled, removed: r.removed_at !== null }));

/** A model folder this project knows. Removed ones stay in the table: pictures and adapters refer to them. */
export type ModelRow = z.output<typeof row>;

const columns = 'id, path, bundled, removed_at';

export const models = {
  all: (db: Db): ModelRow[] =>
    db.all(row, `SELECT ${columns} FROM models WHERE removed_at IS NULL ORDER BY bundled DESC, added_at, id`),
  get: (db: Db, id: string): ModelRow | undefined => db.get(row, `SELECT ${columns} FROM models WHERE id = ?`, [id]),
  byPath: (db: Db, path: string): ModelRow | undefined =>
    db.get(row, `SELECT ${columns} FROM models WHERE path = ?`, [path]),
  /** Adds a model, or moves a known id to a new path, and brings a removed one back. */
  put: (db: Db, model: { id: string; path: string; bundled: boolean }): void => {
    db.run(
      `INSERT INTO models (id, path, bundled, added_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET path = excluded.path, removed_at = NULL`,
      [model.id, model.path, model.bundled ? 1 : 0, new Date().toISOString()],
    );
  },
  remove: (db: Db, id: string): void => {
    db.run('UPDATE models SET removed_at = ? WHERE id = ?', [new Date().toISOString(), id]);
  },
};
