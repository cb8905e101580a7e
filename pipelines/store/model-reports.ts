import { z } from 'zod';
import { json } from './columns.ts';
import type { Db } from './db.ts';

const row = z
  .object({ stamp: z.string(), report: json(z.unknown()), hash: z.string(), dry_step: json(z.unknown()).nullable() })
  .transform(({ dry_step, ...rest }) => ({ ...rest, dryStep: dry_step }));

export interface KeptReport {
  readonly stamp: string;
  /** As it was put; whoever reads it parses it. */
  readonly report: unknown;
  readonly hash: string;
  /** What one small step showed; null: not tried. */
  readonly dryStep: unknown;
}

/** Reports of model folders by path. They can be made again at any time. */
export const modelReports = {
  get: (db: Db, path: string): KeptReport | undefined =>
    db.get(row, 'SELECT stamp, report, hash, dry_step FROM model_reports WHERE path = ?', [path]),
  /** A new report forgets the hash and the step: the files are others. */
  put: (db: Db, path: string, stamp: string, report: unknown): void => {
    db.run(
      `INSERT INTO model_reports (path, stamp, report) VALUES (?, ?, ?)
       ON CONFLICT (path) DO UPDATE SET stamp = excluded.stamp, report = excluded.report, hash = '', dry_step = NULL`,
      [path, stamp, JSON.stringify(report)],
    );
  },
  /** Only while the report is still the one of these files. */
  putHash: (db: Db, path: string, stamp: string, hash: string): void => {
    db.run('UPDATE model_reports SET hash = ? WHERE path = ? AND stamp = ?', [hash, path, stamp]);
  },
  /** Only while the report is still the one of these files. */
  putDryStep: (db: Db, path: string, stamp: string, dryStep: unknown): void => {
    db.run('UPDATE model_reports SET dry_step = ? WHERE path = ? AND stamp = ?', [
      JSON.stringify(dryStep),
      path,
      stamp,
    ]);
  },
  remove: (db: Db, path: string): void => {
    db.run('DELETE FROM model_reports WHERE path = ?', [path]);
  },
};
