import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadTokenizer } from '#models/families/tokenizers/index.ts';

const golden = join(import.meta.dirname, '../../../golden/tokenizers');
const rows = JSON.parse(readFileSync(join(golden, 'prompts.json'), 'utf8')) as {
  prompt: string;
  clip: number[];
  t5: number[];
}[];
const clip = loadTokenizer(join(golden, 'clip'));
const t5 = loadTokenizer(join(golden, 't5'));

test.each(rows)('CLIP reads as its reference does: $prompt', (row) => {
  expect(clip.encode(row.prompt)).toEqual(row.clip);
});

test.each(rows)('T5 reads as SentencePiece does: $prompt', (row) => {
  expect(t5.encode(row.prompt)).toEqual(row.t5);
});
