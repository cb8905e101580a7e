import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { chunkOf, divideTokens } from '#models/families/prompt/chunk.ts';
import { readPrompt } from '#models/families/prompt/read-prompt.ts';
import { loadTokenizer } from '#models/families/tokenizers/index.ts';

const golden = join(import.meta.dirname, '../../../golden/tokenizers');
const clip = loadTokenizer(join(golden, 'clip'));
const t5 = loadTokenizer(join(golden, 't5'));
const WORD = 4055; // flower
const COMMA = 267;

/** A word per `.`, a comma per `,`; a space starts a section. */
const sizes = (pattern: string) =>
  divideTokens(
    clip,
    pattern.split(' ').map((section) => [...section].map((c) => ({ id: c === ',' ? COMMA : WORD, weight: 1 }))),
    77,
  ).map((words) => words.length);
const dots = (n: number) => '.'.repeat(n);

// By hand: 75 words fit; a comma counts when it is at most 20 tokens from the end of the full chunk.
test.each<[string, string, number[]]>([
  ['nothing', '', [0]],
  ['one word', '.', [1]],
  ['a full chunk', dots(75), [75]],
  ['a word too many', dots(76), [75, 1]],
  ['a near comma', `${dots(60)},${dots(30)}`, [61, 30]],
  ['a comma at the limit', `${dots(55)},${dots(30)}`, [56, 30]],
  ['a comma beyond it', `${dots(54)},${dots(30)}`, [75, 10]],
  ['the later of two commas', `${dots(56)},..,${dots(30)}`, [60, 30]],
  ['a comma as last of the chunk', `${dots(74)},${dots(3)}`, [75, 3]],
  ['a comma after the chunk', `${dots(75)},${dots(3)}`, [75, 4]],
  ['a comma, but nothing follows', `${dots(60)},${dots(14)}`, [75]],
  ['what moves takes no comma along', `${dots(70)},${dots(80)}`, [71, 75, 5]],
  ['sections', `${dots(3)} ${dots(4)}`, [3, 4]],
  ['an empty section between', `${dots(3)}  ${dots(4)}`, [3, 0, 4]],
  ['an empty first section', ` ${dots(4)}`, [0, 4]],
  ['an empty last section', `${dots(4)} `, [4]],
  ['a full section and one more', `${dots(75)} .`, [75, 1]],
])('chunks of %s', (_, pattern, expected) => {
  expect(sizes(pattern)).toEqual(expected);
});

test('a chunk is opening, words, closing and padding, with weights at the words alone', () => {
  const openClip = { ...clip, pad: 0 };
  const chunk = chunkOf(
    openClip,
    [
      { id: 320, weight: 1.3 },
      { id: WORD, weight: 0.5 },
    ],
    7,
  );
  expect(chunk).toEqual({ ids: [49406, 320, WORD, 49407, 0, 0, 0], weights: [1, 1.3, 0.5, 1, 1, 1, 1], used: 4 });
  expect(chunkOf(t5, [], 3)).toEqual({ ids: [1, 0, 0], weights: [1, 1, 1], used: 1 });
});

test('a long prompt of phrases breaks between phrases', () => {
  const prompt = Array.from({ length: 24 }, () => 'a red flower and a tree').join(', ');
  const read = readPrompt({ tokenizer: clip, length: 77, maxChunks: Number.POSITIVE_INFINITY }, prompt);
  // Seven tokens per phrase with its comma: ten whole phrases fit into a chunk.
  expect(read.chunks.map((c) => c.used - 2)).toEqual([70, 70, 27]);
  expect(read).toMatchObject({ tokens: 167, unread: '' });
});

test('weights follow their words through tokens and chunks', () => {
  const { chunks } = readPrompt({ tokenizer: clip, length: 7, maxChunks: 9 }, '(red:1.5) flower BREAK [a]');
  expect(chunks.map((c) => c.ids)).toEqual([
    [49406, 736, WORD, 49407, 49407, 49407, 49407],
    [49406, 320, 49407, 49407, 49407, 49407, 49407],
  ]);
  expect(chunks.map((c) => c.weights)).toEqual([
    [1, 1.5, 1, 1, 1, 1, 1],
    [1, 1 / 1.1, 1, 1, 1, 1, 1],
  ]);
});

test('with room for one run the words beyond it are reported, from the first that was not read whole', () => {
  const one = { tokenizer: clip, length: 7, maxChunks: 1 };
  expect(readPrompt(one, 'a red flower, a (blue:1.4) flower').unread).toBe('blue flower');
  expect(readPrompt(one, 'a red flower BREAK a').unread).toBe('');
  expect(readPrompt(one, 'supercalifragilisticexpialidocious').unread).toBe('supercalifragilisticexpialidocious');
  expect(readPrompt({ ...one, length: 8 }, 'a red flower,  a\n blue flower').unread).toBe('flower');
  expect(readPrompt({ ...one, tokenizer: t5, length: 4 }, 'the light of the house').unread).toBe('the house');
  expect(readPrompt({ ...one, maxChunks: 2 }, 'a a a a a a a a a a a red flower').unread).toBe('a red flower');
});

const prompt = fc.string({
  unit: fc.constantFrom(' ', ',', '(', ')', '[', ']', ':1.2)', ' BREAK ', 'flower', 'red', 'é', '花', '😀', '\\'),
  maxLength: 120,
});
prop.prop([prompt, fc.integer({ min: 3, max: 30 }), fc.constantFrom(1, 2, 1000), fc.constantFrom(clip, t5)])(
  'chunks have the encoder’s length, and together they are the words in order',
  (text, length, maxChunks, tokenizer) => {
    const all = readPrompt({ tokenizer, length: 4000, maxChunks: 1 }, text);
    const inner = (chunk: { ids: readonly number[]; used: number }) =>
      chunk.ids.slice(tokenizer.bos === null ? 0 : 1, chunk.used - 1);
    const read = readPrompt({ tokenizer, length, maxChunks }, text);
    expect(read.chunks.length).toBeGreaterThanOrEqual(1);
    expect(read.chunks.length).toBeLessThanOrEqual(maxChunks);
    for (const chunk of read.chunks) {
      expect(chunk.ids).toHaveLength(length);
      expect(chunk.weights).toHaveLength(length);
      expect(chunk.ids[chunk.used - 1]).toBe(tokenizer.eos);
      expect(chunk.ids.slice(chunk.used).every((id) => id === tokenizer.pad)).toBe(true);
    }
    expect(read.chunks.flatMap(inner)).toEqual(inner(all.chunks[0]!).slice(0, read.tokens));
    expect(read.unread === '').toBe(read.tokens === all.tokens);
  },
);
