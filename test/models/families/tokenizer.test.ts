import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadTokenizer } from '#models/families/index.ts';
import { TOKEN_COUNT, tokenize } from '#pipelines/recipes/flora/tokenizer.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-tokenizer-'));
const own = join(folder, 'tokenizer');
beforeAll(() => void writeTinyModel(folder));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  'a red tulip with two leaves in a vase on a cream background',
  '',
  'A RED Tulip!',
  'a red tulip, a white lily',
  'a zebra on a bicycle',
  Array.from({ length: 60 }, () => 'red').join(' '),
])('the file gives the ids that the model was trained with: "%s"', (text) => {
  expect(loadTokenizer(own, TOKEN_COUNT).encode(text)).toEqual(tokenize(text));
});

test('a folder without a padding token, or without the file, is a named error that says where', () => {
  expect(() => loadTokenizer(join(folder, 'nowhere'), 8)).toThrow(
    expect.objectContaining({ code: 'tokenizer/unreadable' }),
  );
  writeFileSync(join(own, 'tokenizer_config.json'), '{}');
  expect(() => loadTokenizer(own, 8)).toThrow(expect.objectContaining({ code: 'tokenizer/no-padding' }));
});
