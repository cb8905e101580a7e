import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { NorthlightError } from '#models/errors.ts';

/** Text to a fixed number of token ids, by the folder's own `tokenizer.json`. */
export interface PromptTokenizer {
  /** `[length]` ids: special tokens, words, padding; words beyond the length are cut (the closing token, if any, stays). */
  encode(text: string): number[];
}

/** @throws {NorthlightError} `tokenizer/…` when a file is missing, unreadable or has no padding token. */
export function loadTokenizer(folder: string, length: number): PromptTokenizer {
  const read = (name: string): Record<string, unknown> => {
    try {
      return JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>;
    } catch (error) {
      throw new NorthlightError(
        'tokenizer/unreadable',
        `${join(folder, name)} cannot be read: ${(error as Error).message}`,
        'Copy the tokenizer folder again from where the model came from.',
      );
    }
  };
  const config = read('tokenizer_config.json');
  const tokenizer = new Tokenizer(read('tokenizer.json'), config);
  const padToken = typeof config.pad_token === 'string' ? config.pad_token : '';
  const pad = tokenizer.token_to_id(padToken);
  if (pad === undefined) {
    throw new NorthlightError(
      'tokenizer/no-padding',
      `The tokenizer in ${folder} has no padding token.`,
      'Add "pad_token" to tokenizer_config.json.',
    );
  }
  const closing = tokenizer.encode('').ids.length > 1;
  return {
    encode(text) {
      const ids = [...tokenizer.encode(text).ids];
      if (ids.length > length) ids.splice(closing ? length - 1 : length, ids.length - length);
      return [...ids, ...new Array<number>(length - ids.length).fill(pad)];
    },
  };
}
