import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Db } from './db.ts';

const LONGEST = 60;

/**
 * A tag as it is stored: lower case, one space between words, compatible characters made equal (NFKC).
 * @throws NorthlightError `tag/invalid` for what the search box could not name again: nothing, quotes, commas, control characters.
 */
export function normaliseTag(text: string): string {
  const tag = text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();
  if (tag !== '' && tag.length <= LONGEST && !/[",\p{Cc}\p{Cs}]/u.test(tag)) return tag;
  throw new NorthlightError(
    'tag/invalid',
    tag.length > LONGEST ? `A tag of ${tag.length} characters is too long.` : `"${text}" cannot be a tag.`,
    `Use 1 to ${LONGEST} characters without quotes and commas.`,
  );
}

const shown = z.object({ name: z.string(), count: z.number().int() });
const idRow = z.object({ id: z.number().int() });

/** Samples are named by `seq`; names are given as {@link normaliseTag} makes them. */
export const tags = {
  /** In the order in which they were first used, with the number of pictures in lists that have them. */
  all: (db: Db): { name: string; count: number }[] =>
    db.all(
      shown,
      `SELECT t.name, count(s.seq) AS count FROM tags t
         LEFT JOIN sample_tags m ON m.tag = t.id
         LEFT JOIN samples s ON s.seq = m.sample AND s.hidden = 0 AND s.trashed_at IS NULL
       GROUP BY t.id ORDER BY t.id`,
    ),
  /** Samples that have the tag, also hidden ones and those in the trash. */
  samplesWith: (db: Db, name: string): number[] =>
    db
      .all(idRow, 'SELECT m.sample AS id FROM sample_tags m JOIN tags t ON t.id = m.tag WHERE t.name = ?', [name])
      .map(({ id }) => id),
  /** Adds some tags to samples and takes others away; tags that nothing has any more are forgotten. */
  change: (db: Db, seqs: readonly number[], change: { add: readonly string[]; remove: readonly string[] }): void =>
    db.tx(() => {
      const list = JSON.stringify(seqs);
      for (const name of change.remove) {
        db.run(
          `DELETE FROM sample_tags WHERE tag = (SELECT id FROM tags WHERE name = ?)
             AND sample IN (SELECT value FROM json_each(?))`,
          [name, list],
        );
      }
      for (const name of change.add) {
        db.run('INSERT OR IGNORE INTO tags (name) VALUES (?)', [name]);
        db.run(
          `INSERT OR IGNORE INTO sample_tags (tag, sample)
             SELECT t.id, s.seq FROM tags t, samples s
             WHERE t.name = ? AND s.hidden = 0 AND s.seq IN (SELECT value FROM json_each(?))`,
          [name, list],
        );
      }
      db.run('DELETE FROM tags WHERE NOT EXISTS (SELECT 1 FROM sample_tags WHERE tag = tags.id)');
    }),
  /** Renames a tag; where `to` exists the two become one. Returns whether there was such a tag. */
  rename: (db: Db, from: string, to: string): boolean =>
    db.tx(() => {
      const idOf = (name: string) => db.get(idRow, 'SELECT id FROM tags WHERE name = ?', [name])?.id;
      const [old, target] = [idOf(from), idOf(to)];
      if (old === undefined) return false;
      if (target === undefined) db.run('UPDATE tags SET name = ? WHERE id = ?', [to, old]);
      else if (target !== old) {
        db.run('UPDATE OR IGNORE sample_tags SET tag = ? WHERE tag = ?', [target, old]);
        db.run('DELETE FROM tags WHERE id = ?', [old]);
      }
      return true;
    }),
};
