/** A change to a text: what stands from `from` to `to` becomes `insert`; then `start` to `end` is selected. */
export interface TextEdit {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
  readonly start: number;
  readonly end: number;
}

/** Weight of brackets that say none. */
const BRACKETS = 1.1;
const CLOSING = /^(?::\s*([+-]?\d*\.?\d+)\s*)?\)/;
const OPENING = /(?<!\\)\($/;

/**
 * Raises or lowers the weight of the selected words by `by`, or of the word at the cursor: `word` becomes `(word:1.1)`, that
 * `(word:1.2)`, and a weight of 1 takes the brackets off. Null where there is no word, or the selection spans several lines.
 */
export function nudgeWeight(text: string, start: number, end: number, by: number): TextEdit | null {
  const [from, to] = start === end ? wordAt(text, start) : trimmed(text, start, end);
  const words = text.slice(from, to);
  if (words === '' || words.includes('\n')) return null;
  const closing = CLOSING.exec(text.slice(to));
  const wrapped = closing !== null && OPENING.test(text.slice(0, from));
  const weight = wrapped ? Number(closing[1] ?? BRACKETS) : 1;
  const next = Math.max(0, Math.round((weight + by) * 100) / 100);
  const [outerFrom, outerTo] = wrapped ? [from - 1, to + closing[0].length] : [from, to];
  if (next === 1)
    return { from: outerFrom, to: outerTo, insert: words, start: outerFrom, end: outerFrom + words.length };
  const at = outerFrom + 1;
  return { from: outerFrom, to: outerTo, insert: `(${words}:${next})`, start: at, end: at + words.length };
}

/** The selection without spaces at its ends, and without brackets and weight where it takes them along. */
function trimmed(text: string, start: number, end: number): [number, number] {
  let from = start;
  let to = end;
  while (from < to && /\s/.test(text[from]!)) from++;
  while (from < to && /\s/.test(text[to - 1]!)) to--;
  const group = /^\(([^()]+?)(?::\s*[+-]?\d*\.?\d+\s*)?\)$/.exec(text.slice(from, to));
  return group ? [from + 1, from + 1 + group[1]!.length] : [from, to];
}

function wordAt(text: string, at: number): [number, number] {
  const isWord = (c: string | undefined) => c !== undefined && !/[\s,.;:()[\]\\|]/.test(c);
  let from = at;
  let to = at;
  while (isWord(text[from - 1])) from--;
  while (isWord(text[to])) to++;
  return [from, to];
}
