import { openModelFolder } from '#models/families/index.ts';
import { countTokens, type PromptReader, readerOf } from '#models/families/prompt/index.ts';
import type { TokenCount } from './contract.ts';

/** Readers of the models asked about last: a vocabulary takes a while to load, and a person types. */
const known = new Map<string, readonly PromptReader[]>();
const REMEMBERED = 4;

/**
 * How much of each prompt the model in a folder reads; null for a model without text.
 * @throws {NorthlightError} `model/…`, `tokenizer/…`
 */
export function tokenCounts(folder: string, prompts: readonly string[]): (TokenCount | null)[] {
  const readers = known.get(folder) ?? openModelFolder(folder).model.text.map(readerOf);
  known.delete(folder);
  known.set(folder, readers);
  if (known.size > REMEMBERED) known.delete(known.keys().next().value!);
  return prompts.map((prompt) => countTokens(readers, prompt));
}
