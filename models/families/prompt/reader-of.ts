import type { TextPart } from '#models/families/family.ts';
import { loadTokenizer } from '#models/families/tokenizers/index.ts';
import type { PromptReader } from './read-prompt.ts';

/** How a text encoder of a model folder takes its text. @throws {NorthlightError} `tokenizer/…` */
export const readerOf = (part: TextPart): PromptReader => ({
  tokenizer: loadTokenizer(part.tokenizer),
  length: part.tokens,
  maxChunks: part.long ? Number.POSITIVE_INFINITY : 1,
});
