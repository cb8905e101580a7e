import { z } from 'zod';
import { json } from './columns.ts';
import type { Db } from './db.ts';

const row = z.object({ stamp: z.string(), report: json(z.unknown()), hash: z.string() });

export interface KeptReport {
  readonly stamp: string;
  /** As it was put; whoever reads it parses it. */
  readonly report: unknown;
  readonly hash: string;
}

/** Reports of model folders by path. They can be made again at any time. */
export const modelReports = {
  get: (db: Db, path: string): KeptReport | undefined =>
    db.get(row, 'SELECT stamp, report, hash FROM model_reports WHERE path = ?', [path]),
  /** A new report forgets the hash: the files are others. */
  put: (db: Db, path: string, stamp: string, report: unknown): void => {
    db.run(
      `INSERT INTO model_reports (path, stamp, report) VALUES (?, ?, ?)
       ON CONFLICT (path) DO UPDATE SET stamp = excluded.stamp, report = excluded.report, hash = ''`,
      [path, stamp, JSON.stringify(report)],
    );
  },
  /** Only while the report is still the one of these files. */
  putHash: (db: Db, path: string, stamp: string, hash: string): void => {
    db.run('UPDATE model_reports SET hash = ? WHERE path = ? AND stamp = ?', [hash, path, stamp]);
  },
  remove: (db: Db, path: string): void => {
    db.run('DELETE FROM model_reports WHERE path = ?', [path]);
  },
};
