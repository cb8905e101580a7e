import { wordRoom } from '#models/families/tokenizers/index.ts';
import { type PromptReader, readPrompt } from './read-prompt.ts';

/** How much of a prompt a model reads. */
export interface TokenCount {
  /** Tokens of words that are read. */
  readonly tokens: number;
  /** Tokens that one chunk has room for. */
  readonly room: number;
  readonly chunks: number;
  /** The end of the prompt for which there is no room; empty when all is read. */
  readonly unread: string;
}

/** By the encoder that reads furthest, the first of equals; null for a model that reads no text. */
export function countTokens(readers: readonly PromptReader[], prompt: string): TokenCount | null {
  const roomOf = ({ tokenizer, length, maxChunks }: PromptReader) => maxChunks * wordRoom(tokenizer, length);
  const [first, ...rest] = readers;
  if (first === undefined) return null;
  const furthest = rest.reduce((best, reader) => (roomOf(reader) > roomOf(best) ? reader : best), first);
  const { chunks, tokens, unread } = readPrompt(furthest, prompt);
  return { tokens, room: wordRoom(furthest.tokenizer, furthest.length), chunks: chunks.length, unread };
}
