import { nearest } from '#models/nearest.ts';
import { SAMPLERS } from '#pipelines/schedulers/names.ts';

/**
 * The language of the search box: words (each begins a word of the prompt), `"exact phrase"`, `-not`, `star`, and filters
 * `key:value`. Everything given must hold. See {@link FILTERS}.
 */

export type Comparison = '>' | '>=' | '<' | '<=' | '=';

export type Condition =
  | { readonly kind: 'word' | 'phrase'; readonly text: string }
  | { readonly kind: 'model' | 'adapter' | 'sampler' | 'tag'; readonly name: string }
  | { readonly kind: 'base' | 'star' | 'trash' }
  /** Inclusive. */
  | { readonly kind: 'seed'; readonly from: number; readonly to: number }
  /** `height` null: either side is `width`. */
  | { readonly kind: 'size'; readonly width: number; readonly height: number | null }
  /** `limit` null: has a score at all. */
  | {
      readonly kind: 'reward';
      readonly reward: string;
      readonly limit: { readonly is: Comparison; readonly value: number } | null;
    }
  /** Before the instant, or at it and later (ISO 8601, UTC). */
  | { readonly kind: 'before' | 'after'; readonly at: string };

/** A condition with the place in the text that said it. */
export interface Term {
  readonly condition: Condition;
  readonly negated: boolean;
  readonly from: number;
  readonly to: number;
}

/** A part of the text that was not understood, and is not searched for. */
export interface QueryProblem {
  readonly message: string;
  readonly hint: string;
  readonly from: number;
  readonly to: number;
}

export interface Query {
  readonly terms: readonly Term[];
  readonly problems: readonly QueryProblem[];
}

/** More conditions than a person types. */
const MAX_TERMS = 50;

const LITERAL = 'To search for these very words, put them in quotes.';

/** What may stand before the colon: an example, and how its value is read (a condition, or what is wrong with it). */
const FILTERS: Readonly<Record<string, (value: string, now: Date) => Condition | string>> = {
  model: (name) => ({ kind: 'model', name }),
  adapter: (name) => (name.toLowerCase() === 'none' ? { kind: 'base' } : { kind: 'adapter', name }),
  tag: (name) => ({ kind: 'tag', name }),
  sampler: samplerOf,
  seed: seedOf,
  size: sizeOf,
  reward: rewardOf,
  before: (value, now) => dayOf('before', value, now),
  after: (value, now) => dayOf('after', value, now),
  in: (value) => (value.toLowerCase() === 'trash' ? { kind: 'trash' } : 'Only in:trash is known.'),
};

export const FILTER_NAMES: readonly string[] = Object.keys(FILTERS);

/** What each search means; never throws. `now` decides what "today" is, in the time zone of this machine. */
export function parseQuery(text: string, now: Date): Query {
  const terms: Term[] = [];
  const problems: QueryProblem[] = [];
  for (const token of text.matchAll(/-?(?:[a-z]+:)?(?:"[^"]*"?|[^\s"])+/gi)) {
    const range = { from: token.index, to: token.index + token[0].length };
    if (terms.length === MAX_TERMS) {
      problems.push({
        ...range,
        to: text.length,
        message: `Only the first ${MAX_TERMS} conditions are searched for.`,
        hint: 'Leave some out.',
      });
      break;
    }
    const negated = token[0].length > 1 && token[0].startsWith('-');
    const body = negated ? token[0].slice(1) : token[0];
    if ((body.match(/"/g)?.length ?? 0) % 2 === 1) {
      problems.push({ ...range, message: 'A quote is not closed.', hint: 'Add a " at its end.' });
    }
    const read = readBody(body, now);
    for (const condition of read.conditions) terms.push({ condition, negated, ...range });
    if (read.problem) problems.push({ ...read.problem, ...range });
  }
  return { terms, problems };
}

type Read = { conditions: readonly Condition[]; problem?: { message: string; hint: string } };

function readBody(body: string, now: Date): Read {
  const [, key, value] = /^([a-z]+):(.*)$/is.exec(body) ?? [];
  if (key === undefined || value === undefined) {
    if (/^star(red)?$/i.test(body)) return { conditions: [{ kind: 'star' }] };
    return { conditions: wordsOf(body) };
  }
  const filter = Object.hasOwn(FILTERS, key.toLowerCase()) ? FILTERS[key.toLowerCase()] : undefined;
  if (!filter) {
    const near = nearest(key, FILTER_NAMES);
    const known = `Filters are ${FILTER_NAMES.map((name) => `${name}:`).join(', ')}.`;
    const hint = `${near === undefined ? known : `Did you mean ${near}:?`} ${LITERAL}`;
    return { conditions: [], problem: { message: `There is no filter "${key}:".`, hint } };
  }
  const plain = value.replaceAll('"', '').trim();
  if (plain === '') {
    return {
      conditions: [],
      problem: { message: `Nothing stands after "${key}:".`, hint: `For example ${EXAMPLES[key.toLowerCase()]}.` },
    };
  }
  const condition = filter(plain, now);
  if (typeof condition !== 'string') return { conditions: [condition] };
  return { conditions: [], problem: { message: `"${body}" is not understood.`, hint: condition } };
}

const EXAMPLES: Readonly<Record<string, string>> = {
  model: 'model:flora',
  adapter: 'adapter:none',
  tag: 'tag:favourite',
  sampler: 'sampler:ddim',
  seed: 'seed:123 or seed:100..200',
  size: 'size:512x512',
  reward: 'reward:brightness>0.5',
  before: 'before:2026-03-01',
  after: 'after:yesterday',
  in: 'in:trash',
};

/** `red"deep blue"` is a word and a phrase. */
function wordsOf(body: string): Condition[] {
  return [...body.matchAll(/"([^"]*)"?|[^"]+/g)].flatMap(([whole, quoted]): Condition[] => {
    const text = (quoted ?? whole).trim();
    if (text === '') return [];
    return [{ kind: quoted === undefined ? 'word' : 'phrase', text }];
  });
}

function samplerOf(value: string): Condition | string {
  const name = value.toLowerCase();
  if ((SAMPLERS as readonly string[]).includes(name)) return { kind: 'sampler', name };
  const near = nearest(name, SAMPLERS);
  return near === undefined ? `Samplers are ${SAMPLERS.join(', ')}.` : `Did you mean sampler:${near}?`;
}

function seedOf(value: string): Condition | string {
  const [, from, to] = /^(\d{1,15})(?:\.\.(\d{1,15}))?$/.exec(value) ?? [];
  if (from === undefined) return `A seed is a whole number: ${EXAMPLES.seed}.`;
  const [low, high] = [Number(from), Number(to ?? from)];
  return low <= high ? { kind: 'seed', from: low, to: high } : `The smaller seed comes first: seed:${high}..${low}.`;
}

function sizeOf(value: string): Condition | string {
  const [, width, height] = /^(\d{1,6})(?:[x×*](\d{1,6}))?$/i.exec(value) ?? [];
  if (width === undefined) return `A size is width × height in pixels: ${EXAMPLES.size}, or size:512 for either side.`;
  return { kind: 'size', width: Number(width), height: height === undefined ? null : Number(height) };
}

function rewardOf(value: string): Condition | string {
  const [, reward, is, limit] = /^([^<>=]+?)\s*(?:(>=|<=|>|<|=)\s*(.*))?$/s.exec(value) ?? [];
  if (reward === undefined) return `Name a reward and a limit: ${EXAMPLES.reward}.`;
  if (is === undefined) return { kind: 'reward', reward, limit: null };
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(limit ?? '')) {
    return `A number stands after ${is}: ${EXAMPLES.reward}.`;
  }
  return { kind: 'reward', reward, limit: { is: is as Comparison, value: Number(limit) } };
}

/** The beginning of a day, month or year. */
function dayOf(kind: 'before' | 'after', value: string, now: Date): Condition | string {
  const days = ['today', 'yesterday'].indexOf(value.toLowerCase());
  if (days >= 0) {
    return { kind, at: new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).toISOString() };
  }
  const [, year, month = '01', day = '01'] = /^(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?$/.exec(value) ?? [];
  const date = new Date(Number(year), Number(month) - 1, Number(day));
  // The calendar rolls over what is too large: 31 April would be 1 May.
  if (year === undefined || date.getMonth() !== Number(month) - 1 || date.getDate() !== Number(day)) {
    return 'A day is year-month-day, a month, a year, today or yesterday: after:2026-03-01.';
  }
  return { kind, at: date.toISOString() };
}
