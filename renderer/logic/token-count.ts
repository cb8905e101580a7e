import type { TokenCount } from '#pipelines/engine/contract.ts';
import { plural } from './format.ts';

/** How much of the prompts the model reads, in a few quiet words; the longest prompt speaks for all. */
export function tokenWords(counts: readonly (TokenCount | null)[]): string {
  const longest = longestOf(counts);
  const prompts = counts.length > 1 ? plural(counts.length, 'prompt') : '';
  if (longest === null) return prompts;
  const { tokens, room, chunks } = longest;
  const size = chunks > 1 ? `${plural(tokens, 'token')} in ${chunks} chunks` : `${tokens} of ${plural(room, 'token')}`;
  return prompts === '' ? size : `${prompts}, longest ${size}`;
}

/** What the model has no room for, as a sentence; null when it reads everything. */
export function unreadWords(counts: readonly (TokenCount | null)[]): string | null {
  const unread = counts.flatMap((count) => (count?.unread ? [count.unread] : []));
  const [first] = unread;
  if (first === undefined) return null;
  if (unread.length > 1)
    return `The model does not read the ends of ${unread.length} prompts: they are too long for it.`;
  return `The model does not read the last ${plural(first.split(/\s+/).length, 'word')}: ${shortened(first)}`;
}

const MOST_LETTERS = 120;

/** The beginning is where reading ends. */
const shortened = (text: string) => (text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}…` : text);

const longestOf = (counts: readonly (TokenCount | null)[]): TokenCount | null =>
  counts.reduce(
    (best, count) => (count !== null && (best === null || count.tokens > best.tokens) ? count : best),
    null,
  );
