/** Words of a prompt that share one weight. */
export interface Piece {
  readonly text: string;
  readonly weight: number;
}

/** Weight of what stands in `(round brackets)`; `[square brackets]` divide by it. */
export const BRACKET_FACTOR = 1.1;

/** Weights stay within ± this, so that no prompt makes a network overflow. */
export const LARGEST_WEIGHT = 100;

const TOKEN = /\\[()[\]\\]|\\|\(|\[|:\s*([+-]?[.\d]+)\s*\)|\)|\]|[^\\()[\]:]+|:/g;
const BREAK = /(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])/u;

/**
 * A prompt in the notation of the AUTOMATIC1111 web UI: `(word)` ×1.1, `((word))` ×1.21, `[word]` ÷1.1, `(word:1.3)` ×1.3, a
 * backslash before a bracket for the bracket itself. Gives the sections that the word BREAK divides it into, each as its
 * weighted pieces; at least one section. Brackets that never close reach to the end; those that never open are text.
 * Deviation: BREAK counts inside brackets too, and something like `(word:1.2.3)`, which is no number, is text.
 */
export function parseWeights(prompt: string): Piece[][] {
  const parts: { text: string; weight: number; breaks: boolean }[] = [];
  const round: number[] = [];
  const square: number[] = [];
  const multiply = (from: number, factor: number) => {
    for (let i = from; i < parts.length; i++) parts[i]!.weight *= factor;
  };
  const add = (text: string, breaks = false) => void parts.push({ text, weight: 1, breaks });
  for (const match of prompt.matchAll(TOKEN)) {
    const token = match[0];
    const weight = match[1] === undefined ? undefined : Number(match[1]);
    if (token.startsWith('\\')) add(token.slice(1));
    else if (token === '(') round.push(parts.length);
    else if (token === '[') square.push(parts.length);
    else if (weight !== undefined && round.length > 0 && Number.isFinite(weight)) multiply(round.pop()!, weight);
    else if (token === ')' && round.length > 0) multiply(round.pop()!, BRACKET_FACTOR);
    else if (token === ']' && square.length > 0) multiply(square.pop()!, 1 / BRACKET_FACTOR);
    else if (weight !== undefined && round.length > 0) {
      add(token.slice(0, -1));
      multiply(round.pop()!, BRACKET_FACTOR);
    } else {
      const between = token.split(BREAK);
      for (const [i, text] of between.entries()) {
        const start = i > 0 ? text.trimStart() : text;
        add(i < between.length - 1 ? start.trimEnd() : start, i > 0);
      }
    }
  }
  for (const from of round) multiply(from, BRACKET_FACTOR);
  for (const from of square) multiply(from, 1 / BRACKET_FACTOR);

  const sections: Piece[][] = [[]];
  for (const { text, weight, breaks } of parts) {
    if (breaks) sections.push([]);
    const section = sections.at(-1)!;
    const last = section.at(-1);
    const held = Math.max(-LARGEST_WEIGHT, Math.min(LARGEST_WEIGHT, weight));
    if (last?.weight === held) section[section.length - 1] = { text: last.text + text, weight: held };
    else if (text !== '') section.push({ text, weight: held });
  }
  return sections;
}
