import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { type Db, openDb } from '#pipelines/store/db.ts';
import { parseQuery } from '#pipelines/store/query.ts';
import { type Cursor, findSamples, sampleSearch } from '#pipelines/store/sample-search.ts';
import { addManySamples } from '#test/support/many-samples.ts';
import { type BenchResult, sideBySide } from './lib/measure.ts';

const MANY = 100_000;
/** Times a body is repeated, so that one measurement is longer than the clock is coarse. */
const PAGES = 200;

const NAMES = { models: [], adapters: [], tags: [], rewards: ['brightness'] };

/** Finding pictures among a hundred thousand: against the first page, against reading every prompt, and against ten thousand. */
export async function measure(options: { rounds?: number } = {}): Promise<BenchResult> {
  const rounds = options.rounds ?? 9;
  const folder = mkdtempSync(join(tmpdir(), 'northlight-bench-'));
  const open = (n: number) => {
    const db = openDb(join(folder, `${n}.sqlite`));
    addManySamples(db, n);
    return db;
  };
  const [many, few] = [open(MANY), open(MANY / 10)];
  const page = (after?: Cursor) => async () => {
    for (let i = 0; i < PAGES; i++) findSamples(many, searchOf(''), { order: 'newest', limit: 100, after });
  };
  try {
    return {
      ratios: [
        await sideBySide(
          { name: 'a page of 100 at depth 90 000 ÷ the first', target: 1.5, a: page([MANY / 10]), b: page() },
          rounds,
        ),
        await sideBySide(
          {
            name: 'three words: full-text index ÷ reading every prompt',
            target: 0.5,
            a: async () => all(many, 'bellfl "at night" violet'),
            b: async () =>
              many.all(
                z.object({ seq: z.number() }),
                `SELECT seq FROM samples WHERE hidden = 0 AND trashed_at IS NULL AND prompt LIKE '%bellfl%'
                   AND prompt LIKE '%at night%' AND prompt LIKE '%violet%' ORDER BY seq DESC`,
              ),
          },
          rounds,
        ),
        await sideBySide(
          {
            name: `all of ${MANY} ÷ ten times all of ${MANY / 10}`,
            target: 1.5,
            a: async () => all(many, ''),
            b: async () => {
              for (let i = 0; i < 10; i++) all(few, '');
            },
          },
          rounds,
        ),
      ],
      rounds,
      threads: 1,
    };
  } finally {
    many.close();
    few.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const searchOf = (text: string) => sampleSearch(parseQuery(text, new Date()).terms, NAMES);

/** Every picture that matches, page by page as the window asks for them. */
function all(db: Db, text: string): number {
  let found = 0;
  let after: Cursor | undefined;
  for (;;) {
    const { seqs, next } = findSamples(db, searchOf(text), { order: 'newest', limit: 20_000, after });
    found += seqs.length;
    if (next === null) return found;
    after = next;
  }
}
