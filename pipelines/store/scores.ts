import { z } from 'zod';
import type { Db } from './db.ts';
import { scoreTable } from './score-table.ts';

const unscored = z.object({ seq: z.number().int(), hash: z.string(), prompt: z.string() });

/** What rewards said of pictures. */
export const scores = {
  ...scoreTable('sample'),
  /** Those of the samples that lists may show and this reward has not scored. */
  missing: (db: Db, reward: string, seqs: readonly number[]): { seq: number; hash: string; prompt: string }[] =>
    db.all(
      unscored,
      `SELECT seq, hash, prompt FROM samples s WHERE hidden = 0 AND seq IN (SELECT value FROM json_each(?))
         AND NOT EXISTS (SELECT 1 FROM sample_rewards r WHERE r.reward = ? AND r.sample = s.seq) ORDER BY seq`,
      [JSON.stringify(seqs), reward],
    ),
};
