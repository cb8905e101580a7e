import { z } from 'zod';
import type { Db } from './db.ts';

const scored = z.object({ reward: z.string(), count: z.number().int() });

/** What rewards said of samples of one kind. A reward is known by its specification. */
export const scoreTable = (of: 'sample' | 'sequence') => ({
  /** A sample that is gone by now is left out. */
  put: (db: Db, reward: string, values: readonly (readonly [seq: number, value: number])[]): void =>
    db.tx(() => {
      for (const [seq, value] of values) {
        db.run(
          `INSERT INTO ${of}_rewards (reward, ${of}, value) SELECT ?, seq, ? FROM ${of}s WHERE seq = ?
           ON CONFLICT (reward, ${of}) DO UPDATE SET value = excluded.value`,
          [reward, value, seq],
        );
      }
    }),
  /** Rewards that have scored something, with how many samples. */
  rewards: (db: Db): { reward: string; count: number }[] =>
    db.all(scored, `SELECT reward, count(*) AS count FROM ${of}_rewards GROUP BY reward ORDER BY reward`),
});

/** SQL for what was said of a row, as an object by reward. */
export const scoresColumn = (of: 'sample' | 'sequence'): string =>
  `(SELECT json_group_object(reward, value) FROM ${of}_rewards WHERE ${of} = ${of}s.seq) AS scores`;
