import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fc, test as property } from '@fast-check/vitest';
import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { openDb } from '#pipelines/store/db.ts';
import { parseQuery } from '#pipelines/store/query.ts';
import {
  type Cursor,
  countSamples,
  findSamples,
  type KnownNames,
  pageSql,
  SAMPLE_ORDERS,
  type SampleOrder,
  sampleSearch,
} from '#pipelines/store/sample-search.ts';
import { samples } from '#pipelines/store/samples.ts';
import { addManySamples, type MadeSample, TAGS } from '#test/support/many-samples.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-search-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NOW = new Date(2026, 0, 1);
const KNOWN: KnownNames = {
  models: [{ id: 'model-1', name: 'flora' }],
  adapters: [
    { id: 'adapter-1', name: 'Warm evenings' },
    { id: 'adapter-2', name: 'Sharper petals' },
  ],
  tags: TAGS,
  rewards: ['brightness'],
};

const small = openDb(join(folder, 'small.sqlite'));
const made = addManySamples(small, 400);
const large = openDb(join(folder, 'large.sqlite'));
addManySamples(large, 10_000);
afterAll(() => {
  small.close();
  large.close();
});

const searchOf = (text: string) => sampleSearch(parseQuery(text, NOW).terms, KNOWN);

function all(db: typeof small, text: string, order: SampleOrder = 'newest', limit = 20_000): number[] {
  const found: number[] = [];
  let after: Cursor | undefined;
  for (;;) {
    const { seqs, next } = findSamples(db, searchOf(text), { order, reward: 'brightness', limit, after });
    found.push(...seqs);
    if (next === null) return found;
    after = next;
  }
}

/** Beginnings of words, as a person understands them: no matter of case and accents. */
const plain = (text: string) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
const beginsWord = (prompt: string, word: string) =>
  new RegExp(`(^|[^\\p{L}\\p{N}])${plain(word)}`, 'u').test(plain(prompt));

/** A piece of a query, and which pictures it means. */
const piece: fc.Arbitrary<[string, (s: MadeSample) => boolean]> = fc.oneof(
  fc
    .constantFrom('red', 'tul', 'creme', 'RAIN', 'two', 'ose')
    .map((word): [string, (s: MadeSample) => boolean] => [word, (s) => beginsWord(s.prompt, word)]),
  fc.constantFrom<[string, (s: MadeSample) => boolean]>(
    ['"dark red"', (s) => s.prompt.includes('dark red')],
    ['"red dark"', () => false],
    ['丹の', (s) => s.prompt.includes('丹の')],
    ['star', (s) => s.starred],
    ['tag:favourite', (s) => s.tags.includes('favourite')],
    ['tag:"Series  2"', (s) => s.tags.includes('series 2')],
    ['tag:nothing', () => false],
    ['adapter:none', (s) => s.adapterId === null],
    ['adapter:warm', (s) => s.adapterId === 'adapter-1'],
    ['model:flora', () => true],
    ['model:other', () => false],
    ['sampler:ddpm', (s) => s.scheduler === 'ddpm'],
    ['size:512', (s) => s.width === 512 || s.height === 512],
    ['size:64x768', (s) => s.width === 64 && s.height === 768],
    ['seed:50..250', (s) => s.seed >= 50 && s.seed <= 250],
    ['reward:brightness', (s) => s.brightness !== null],
    ['reward:brightness>0.5', (s) => s.brightness !== null && s.brightness > 0.5],
    ['reward:Brightness<=0.25', (s) => s.brightness !== null && s.brightness <= 0.25],
    ['reward:warmth', () => false],
    ['after:2025-12-31', (s) => new Date(s.createdAt) >= new Date(2025, 11, 31)],
    ['before:2025-12-31', (s) => new Date(s.createdAt) < new Date(2025, 11, 31)],
  ),
);

describe('a search', () => {
  property.prop([fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 4 })], { numRuns: 300 })(
    'finds exactly the pictures that a person would pick by hand, and counts them',
    (pieces) => {
      const text = pieces.map(([[piece], negated]) => (negated ? `-${piece}` : piece)).join(' ');
      const meant = made.filter((s) => pieces.every(([[, holds], negated]) => holds(s) !== negated));
      expect(all(small, text)).toEqual(meant.map(({ seq }) => seq).reverse());
      expect(countSamples(small, searchOf(text))).toBe(meant.length);
    },
  );

  test.each([
    '""',
    '-',
    '*',
    'AND',
    'NEAR(',
    '"a" OR',
    "'; DROP TABLE samples; --",
    '%',
    '_',
    '\\',
    '\u0000',
    'a\u0000b',
    '(',
    '😀',
  ])('takes %j as text, not as a command', (text) => {
    expect(() => all(small, text)).not.toThrow();
    expect(countSamples(small, searchOf(''))).toBe(400);
  });

  test('says which names nothing has, and which was perhaps meant', () => {
    const { problems } = searchOf('tag:favorite adapter:"warm evening" model:flore reward:brightnes tag:xyz');
    expect(problems.map(({ hint }) => hint)).toEqual([
      'Did you mean tag:favourite?',
      'Did you mean model:flora?',
      'Did you mean reward:brightness?',
      `There are ${TAGS.join(', ')}.`,
    ]);
  });
});

describe('pages', () => {
  const expected: Record<SampleOrder, (list: MadeSample[]) => MadeSample[]> = {
    newest: (list) => list.reverse(),
    oldest: (list) => list,
    seed: (list) => list.sort((a, b) => a.seed - b.seed || a.seq - b.seq),
    best: (list) =>
      list.filter((s) => s.brightness !== null).sort((a, b) => b.brightness! - a.brightness! || b.seq - a.seq),
    worst: (list) =>
      list.filter((s) => s.brightness !== null).sort((a, b) => a.brightness! - b.brightness! || a.seq - b.seq),
  };

  property.prop([fc.constantFrom(...SAMPLE_ORDERS), fc.integer({ min: 1, max: 150 })], { numRuns: 60 })(
    'of any size follow one another without gap or repetition, in every order',
    (order, limit) => {
      expect(all(small, '', order, limit)).toEqual(expected[order]([...made]).map(({ seq }) => seq));
    },
  );

  test('that were begun before new pictures arrived go on where they were', () => {
    const db = openDb(join(folder, 'growing.sqlite'));
    addManySamples(db, 50);
    const first = findSamples(db, searchOf(''), { order: 'newest', limit: 20 });
    db.run(`INSERT INTO samples SELECT 51, 'sample-51', hash, prompt, negative_prompt, model_id, adapter_id, seed, idx, steps,
      scheduler, eta, guidance_scale, width, height, has_trajectory, starred, job_id, 51, side, hidden, created_at, NULL,
      NULL, NULL, NULL, 1
      FROM samples WHERE seq = 1`);
    const second = findSamples(db, searchOf(''), { order: 'newest', limit: 20, after: first.next! });
    expect(first.seqs.at(-1)).toBe(31);
    expect(second.seqs[0]).toBe(30);
    db.close();
  });
});

describe('ten thousand pictures', () => {
  const plan = (order: SampleOrder, text = '', after?: Cursor) => {
    const { sql, params } = pageSql(searchOf(text), { order, reward: 'brightness', limit: 100, after });
    return large
      .all(z.object({ detail: z.string() }), `EXPLAIN QUERY PLAN ${sql}`, params)
      .map(({ detail }) => detail)
      .join('\n');
  };

  test.each<[SampleOrder, Cursor, string]>([
    ['newest', [5000], 'samples_shown'],
    ['oldest', [5000], 'samples_shown'],
    ['seed', [700, 5000], 'samples_by_seed'],
    ['best', [0.5, 5000], 'samples_by_reward'],
    ['worst', [0.5, 5000], 'samples_by_reward'],
  ])(
    'are listed in the order "%s" by an index, the first page and later ones, and never sorted',
    (order, cursor, index) => {
      for (const text of [plan(order), plan(order, '', cursor)]) {
        expect(text).toContain(`INDEX ${index}`);
        expect(text).not.toContain('TEMP B-TREE');
        expect(text).not.toMatch(/SCAN s$/m);
      }
      expect(plan(order, '', cursor)).toMatch(/^SEARCH/m);
    },
  );

  test('are searched by the full-text index, tags and scores by theirs', () => {
    expect(plan('newest', 'tulip')).toMatch(/samples_fts VIRTUAL TABLE INDEX/);
    expect(plan('newest', 'star')).toContain('INDEX samples_starred');
    expect(plan('newest', 'tag:favourite')).toMatch(/SEARCH m USING (PRIMARY KEY|COVERING INDEX)/);
    expect(plan('newest', 'reward:brightness>0.9')).toContain('INDEX samples_by_reward');
  });

  /** The least of many, which a busy machine does not change much. */
  const least = (work: () => void): number =>
    Math.min(
      ...Array.from({ length: 10 }, () => {
        const start = performance.now();
        work();
        return performance.now() - start;
      }),
    );

  test('are paged at one price: the last page costs what the first does', () => {
    const page = (after?: Cursor) => () => findSamples(large, searchOf(''), { order: 'newest', limit: 100, after });
    expect(least(page([150])) / least(page())).toBeLessThan(4);
  });

  test('are found, all of them, for less than the settings of a tenth of them cost', () => {
    const all = Array.from({ length: 1000 }, (_, i) => i * 10 + 1);
    const finding = least(() => findSamples(large, searchOf(''), { order: 'newest', limit: 20_000 }));
    expect(finding / least(() => samples.bySeqs(large, all))).toBeLessThan(1);
  });
});
