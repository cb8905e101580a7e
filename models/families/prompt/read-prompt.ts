import { type PromptTokenizer, wordRoom } from '#models/families/tokenizers/index.ts';
import { type Chunk, chunkOf, divideTokens, type WeightedToken } from './chunk.ts';
import { type Piece, parseWeights } from './parse-weights.ts';

/** How a text encoder takes its text. */
export interface PromptReader {
  readonly tokenizer: PromptTokenizer;
  /** Ids of one run. */
  readonly length: number;
  /** Most runs for one text: 1 where the network wants a fixed number of tokens, Infinity where it takes any. */
  readonly maxChunks: number;
}

/** A prompt as one encoder will read it. */
export interface ReadPrompt {
  readonly chunks: readonly Chunk[];
  /** Tokens of words, the unread ones left out. */
  readonly tokens: number;
  /** The end of the text for which there was no room, without its brackets; empty when all is read. */
  readonly unread: string;
}

/** Parses, tokenises and divides a prompt. With one run only, BREAK means nothing and words beyond the room are cut. */
export function readPrompt(reader: PromptReader, prompt: string): ReadPrompt {
  const { tokenizer, length, maxChunks } = reader;
  const sections = parseWeights(prompt);
  const tokens = sections.map((pieces) => pieces.map((piece) => weigh(tokenizer, piece)));
  const divided =
    maxChunks === 1
      ? [tokens.flat(2).slice(0, wordRoom(tokenizer, length))]
      : divideTokens(
          tokenizer,
          tokens.map((pieces) => pieces.flat()),
          length,
        ).slice(0, maxChunks);
  const count = divided.reduce((sum, words) => sum + words.length, 0);
  return {
    chunks: divided.map((words) => chunkOf(tokenizer, words, length)),
    tokens: count,
    unread: textAfter(tokenizer, sections.flat(), tokens.flat(), count),
  };
}

const weigh = (tokenizer: PromptTokenizer, { text, weight }: Piece): WeightedToken[] =>
  tokenizer.encode(text).map((id) => ({ id, weight }));

/** What is left of the pieces after their first `count` tokens, from the first word that was not read whole. */
function textAfter(
  tokenizer: PromptTokenizer,
  pieces: readonly Piece[],
  tokens: readonly (readonly WeightedToken[])[],
  count: number,
): string {
  let left = count;
  for (const [i, piece] of pieces.entries()) {
    const size = tokens[i]!.length;
    if (size > left) {
      const rest = pieces.slice(i + 1).map((p) => p.text);
      return [piece.text.slice(lengthRead(tokenizer, piece.text, left)), ...rest]
        .join(' ')
        .replace(/\s+/gu, ' ')
        .trim();
    }
    left -= size;
  }
  return '';
}

/** Characters of the longest run of whole words that `count` tokens can say. */
function lengthRead(tokenizer: PromptTokenizer, text: string, count: number): number {
  const ends = [...text.matchAll(/\S+/gu)].map((word) => word.index + word[0].length);
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (tokenizer.encode(text.slice(0, ends[middle - 1])).length <= count) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? 0 : ends[low - 1]!;
}
