import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { nearest } from '#models/nearest.ts';
import { count, json } from './columns.ts';
import type { Db, Value } from './db.ts';
import type { Condition, QueryProblem, Term } from './query.ts';
import { normaliseTag } from './tags.ts';

export const SAMPLE_ORDERS = ['newest', 'oldest', 'seed', 'best', 'worst'] as const;
export type SampleOrder = (typeof SAMPLE_ORDERS)[number];

/** Names that filters may say, with what the database calls them. */
export interface KnownNames {
  readonly models: readonly { readonly id: string; readonly name: string }[];
  readonly adapters: readonly { readonly id: string; readonly name: string }[];
  readonly tags: readonly string[];
  readonly rewards: readonly string[];
}

/** A search as SQL over `samples s`. */
export interface SampleSearch {
  readonly where: string;
  readonly params: readonly Value[];
  /** Names that nothing has. Their terms match nothing (or, negated, everything). */
  readonly problems: readonly QueryProblem[];
}

const SHOWN = 's.hidden = 0 AND s.trashed_at IS NULL';
const TRASHED = 's.hidden = 0 AND s.trashed_at IS NOT NULL';

/** Prompts of scripts without spaces between words are searched as text: the index knows them only as long words. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

export function sampleSearch(terms: readonly Term[], known: KnownNames): SampleSearch {
  const inTrash = terms.some(({ condition, negated }) => condition.kind === 'trash' && !negated);
  const where = [inTrash ? TRASHED : SHOWN];
  const params: Value[] = [];
  const problems: QueryProblem[] = [];
  const words: string[] = [];
  for (const { condition, negated, from, to } of terms) {
    if (condition.kind === 'trash') continue;
    const match = indexedText(condition);
    if (match !== null && !negated) {
      words.push(match);
      continue;
    }
    const found = match === null ? conditionSql(condition, known) : { sql: IN_INDEX, params: [match] };
    where.push(negated ? `NOT (${found.sql})` : found.sql);
    params.push(...found.params);
    if (found.problem) problems.push({ ...found.problem, from, to });
  }
  if (words.length > 0) {
    where.push(IN_INDEX);
    params.push(words.join(' AND '));
  }
  return { where: where.join(' AND '), params, problems };
}

const IN_INDEX = 's.seq IN (SELECT rowid FROM samples_fts WHERE samples_fts MATCH ?)';

/** The full-text expression of a word or phrase; null for other conditions and for text that the index does not know. */
function indexedText(condition: Condition): string | null {
  if (condition.kind !== 'word' && condition.kind !== 'phrase') return null;
  const { text, kind } = condition;
  if (!/[\p{L}\p{N}]/u.test(text) || UNSPACED.test(text) || text.includes('\0')) return null;
  return kind === 'word' ? `"${text}"*` : `"${text}"`;
}

interface Sql {
  readonly sql: string;
  readonly params: readonly Value[];
  readonly problem?: { readonly message: string; readonly hint: string };
}

/** Never null in SQL, so that NOT of it is its opposite. */
function conditionSql(condition: Condition, known: KnownNames): Sql {
  switch (condition.kind) {
    case 'word':
    case 'phrase':
      return { sql: `s.prompt LIKE ? ESCAPE '\\'`, params: [`%${condition.text.replace(/[\\%_]/g, '\\$&')}%`] };
    case 'model':
    case 'adapter':
      return named(condition.kind, condition.name, condition.kind === 'model' ? known.models : known.adapters);
    case 'base':
      return { sql: 's.adapter_id IS NULL', params: [] };
    case 'star':
      return { sql: 's.starred = 1', params: [] };
    case 'trash':
      return { sql: 's.trashed_at IS NOT NULL', params: [] };
    case 'sampler':
      return { sql: 's.scheduler = ?', params: [condition.name] };
    case 'seed':
      return { sql: 's.seed BETWEEN ? AND ?', params: [condition.from, condition.to] };
    case 'size':
      return condition.height === null
        ? { sql: '(s.width = ? OR s.height = ?)', params: [condition.width, condition.width] }
        : { sql: '(s.width = ? AND s.height = ?)', params: [condition.width, condition.height] };
    case 'before':
      return { sql: 's.created_at < ?', params: [condition.at] };
    case 'after':
      return { sql: 's.created_at >= ?', params: [condition.at] };
    case 'tag':
      return tagged(condition.name, known.tags);
    case 'reward': {
      const reward = known.rewards.find((name) => name.toLowerCase() === condition.reward.toLowerCase());
      const { limit } = condition;
      return {
        sql: `s.seq IN (SELECT sample FROM sample_rewards WHERE reward = ?${limit === null ? '' : ` AND value ${limit.is} ?`})`,
        params: [reward ?? condition.reward, ...(limit === null ? [] : [limit.value])],
        ...(reward === undefined && {
          problem: unknown(
            `No picture has a score by "${condition.reward}".`,
            condition.reward,
            known.rewards,
            'reward:',
          ),
        }),
      };
    }
  }
}

/** All whose name holds the text, in any case, or whose id it is. */
function named(kind: 'model' | 'adapter', text: string, known: KnownNames['models']): Sql {
  const wanted = text.toLowerCase();
  const found = known.filter(({ id, name }) => id === text || name.toLowerCase().includes(wanted));
  const names = known.map(({ name }) => name);
  return {
    sql: `coalesce(s.${kind}_id IN (SELECT value FROM json_each(?)), 0)`,
    params: [JSON.stringify(found.map(({ id }) => id))],
    ...(found.length === 0 && { problem: unknown(`There is no ${kind} "${text}".`, text, names, `${kind}:`) }),
  };
}

function tagged(text: string, known: readonly string[]): Sql {
  let tag = '';
  try {
    tag = normaliseTag(text);
  } catch (error) {
    // Text that can be no tag is a tag that no picture has.
    if (!(error instanceof NorthlightError)) throw error;
  }
  return {
    sql: 's.seq IN (SELECT m.sample FROM sample_tags m JOIN tags t ON t.id = m.tag WHERE t.name = ?)',
    params: [tag],
    ...(!known.includes(tag) && { problem: unknown(`No picture has the tag "${text}".`, text, known, 'tag:') }),
  };
}

function unknown(message: string, typed: string, known: readonly string[], prefix: string) {
  const near = nearest(typed, known);
  if (near !== undefined) return { message, hint: `Did you mean ${prefix}${/\s/.test(near) ? `"${near}"` : near}?` };
  return { message, hint: known.length === 0 ? '' : `There are ${known.slice(0, 8).join(', ')}.` };
}

/** Where a page ended: the sort key, if it is not `seq` alone, and `seq`. */
export type Cursor = readonly number[];

interface Order {
  readonly from: string;
  readonly by: string;
  readonly after: string;
  readonly key: string | null;
}

const ORDERS: Readonly<Record<SampleOrder, Order>> = {
  newest: { from: 'samples s', by: 's.seq DESC', after: 's.seq < ?', key: null },
  oldest: { from: 'samples s', by: 's.seq', after: 's.seq > ?', key: null },
  seed: { from: 'samples s', by: 's.seed, s.seq', after: '(s.seed, s.seq) > (?, ?)', key: 's.seed' },
  best: {
    from: 'sample_rewards r CROSS JOIN samples s ON s.seq = r.sample',
    by: 'r.value DESC, r.sample DESC',
    after: '(r.value, r.sample) < (?, ?)',
    key: 'r.value',
  },
  worst: {
    from: 'sample_rewards r CROSS JOIN samples s ON s.seq = r.sample',
    by: 'r.value, r.sample',
    after: '(r.value, r.sample) > (?, ?)',
    key: 'r.value',
  },
};

export interface PageRequest {
  readonly order: SampleOrder;
  /** Whose scores `best` and `worst` go by; only scored samples are in those orders. */
  readonly reward?: string | undefined;
  readonly limit: number;
  readonly after?: Cursor | undefined;
}

const page = z.object({ seqs: json(z.array(z.number().int())), last: z.number().nullable() });

/**
 * One page of samples by `seq` (rows are read by {@link samples.bySeqs}), and the cursor of the next page, null at the end.
 * A page is found from where the last one ended, never by counting rows: the hundredth costs what the first does.
 */
export function findSamples(
  db: Db,
  search: SampleSearch,
  request: PageRequest,
): { seqs: readonly number[]; next: Cursor | null } {
  const { sql, params } = pageSql(search, request);
  // As one JSON text: checking ten thousand rows one by one would hold the engine up.
  const found = db.get(
    page,
    `WITH page AS MATERIALIZED (${sql})
     SELECT json_group_array(seq) AS seqs, (SELECT key FROM page LIMIT 1 OFFSET ?) AS last FROM page`,
    [...params, request.limit - 1],
  );
  const seqs = found?.seqs ?? [];
  const seq = seqs.at(-1);
  if (seq === undefined || seqs.length < request.limit) return { seqs, next: null };
  const keyed = ORDERS[request.order].key !== null;
  return { seqs, next: keyed ? [found?.last ?? 0, seq] : [seq] };
}

/** The statement of a page, for looking at its plan. */
export function pageSql(search: SampleSearch, request: PageRequest): { sql: string; params: Value[] } {
  const order = ORDERS[request.order];
  const where = [search.where];
  const params = [...search.params];
  if (order.key === 'r.value') {
    where.push('r.reward = ?');
    params.push(request.reward ?? '');
  }
  if (request.after !== undefined) {
    where.push(order.after);
    params.push(...request.after);
  }
  params.push(request.limit);
  const sql = `SELECT s.seq AS seq, ${order.key ?? 's.seq'} AS key FROM ${order.from} WHERE ${where.join(' AND ')} ORDER BY ${order.by} LIMIT ?`;
  return { sql, params };
}

/** How many samples match in all. */
export function countSamples(db: Db, search: SampleSearch): number {
  return db.get(count, `SELECT count(*) AS n FROM samples s WHERE ${search.where}`, search.params)?.n ?? 0;
}
