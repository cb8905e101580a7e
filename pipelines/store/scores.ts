import { z } from 'zod';
import type { Db } from './db.ts';

const scored = z.object({ reward: z.string(), count: z.number().int() });
const unscored = z.object({ seq: z.number().int(), hash: z.string(), prompt: z.string() });

/** What rewards said of samples. A reward is known by its specification. */
export const scores = {
  put: (db: Db, reward: string, values: readonly (readonly [seq: number, value: number])[]): void =>
    db.tx(() => {
      for (const [seq, value] of values) {
        // A sample may be gone by now.
        db.run(
          `INSERT INTO sample_rewards (reward, sample, value) SELECT ?, seq, ? FROM samples WHERE seq = ?
           ON CONFLICT (reward, sample) DO UPDATE SET value = excluded.value`,
          [reward, value, seq],
        );
      }
    }),
  /** Rewards that have scored something, with how many samples. */
  rewards: (db: Db): { reward: string; count: number }[] =>
    db.all(scored, 'SELECT reward, count(*) AS count FROM sample_rewards GROUP BY reward ORDER BY reward'),
  /** Those of the samples that lists may show and this reward has not scored. */
  missing: (db: Db, reward: string, seqs: readonly number[]): { seq: number; hash: string; prompt: string }[] =>
    db.all(
      unscored,
      `SELECT seq, hash, prompt FROM samples s WHERE hidden = 0 AND seq IN (SELECT value FROM json_each(?))
         AND NOT EXISTS (SELECT 1 FROM sample_rewards r WHERE r.reward = ? AND r.sample = s.seq) ORDER BY seq`,
      [JSON.stringify(seqs), reward],
    ),
};
