import { join } from 'node:path';
import { expect, test } from 'vitest';
import { countTokens } from '#models/families/prompt/index.ts';
import { loadTokenizer } from '#models/families/tokenizers/index.ts';

const golden = join(import.meta.dirname, '../../../golden/tokenizers');
const tokenizer = loadTokenizer(join(golden, 'clip'));
const long = `${'red, '.repeat(40)}flower`;

test('a model that joins chunks reads all of a prompt, in as many as it takes', () => {
  const reader = { tokenizer, length: 77, maxChunks: Number.POSITIVE_INFINITY };
  expect(countTokens([reader, reader], long)).toEqual({ tokens: 81, room: 75, chunks: 2, unread: '' });
});

test('of several encoders the one with the most room counts', () => {
  const clip = { tokenizer, length: 77, maxChunks: 1 };
  const t5 = { tokenizer: loadTokenizer(join(golden, 't5')), length: 512, maxChunks: 1 };
  expect(countTokens([clip], long)).toEqual({ tokens: 75, room: 75, chunks: 1, unread: 'red, red, red, flower' });
  for (const readers of [
    [clip, t5],
    [t5, clip],
  ]) {
    expect(countTokens(readers, long)).toMatchObject({ room: 511, chunks: 1, unread: '' });
  }
});

test('a model without text has no count', () => {
  expect(countTokens([], 'a red tulip')).toBeNull();
});
