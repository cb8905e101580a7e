import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { applyWeights } from '#models/families/prompt/apply-weights.ts';
import { encodePrompt, type PromptEncoder } from '#models/families/prompt/index.ts';
import { loadTokenizer } from '#models/families/tokenizers/index.ts';

const golden = join(import.meta.dirname, '../../../golden/tokenizers');
const clip = loadTokenizer(join(golden, 'clip'));
const t5 = loadTokenizer(join(golden, 't5'));

/** A network that says which token stands where: two numbers per token, and the largest id for the whole. */
const encoder = (options: Partial<PromptEncoder> = {}): PromptEncoder => ({
  tokenizer: clip,
  length: 7,
  maxChunks: Number.POSITIVE_INFINITY,
  emphasis: true,
  run: async (ids) => ({
    hidden: Float32Array.from(ids.flatMap((id, t) => [id, t + 1])),
    pooled: Float32Array.of(Math.max(...ids)),
  }),
  ...options,
});
const BOS = 49406;
const EOS = 49407;
/** What the network says of these ids. */
const states = (...chunks: number[][]) =>
  Float32Array.from(chunks.flatMap((ids) => ids.flatMap((id, t) => [id, t + 1])));
const EMPTY = [BOS, EOS, EOS, EOS, EOS, EOS, EOS];

test('an empty prompt is one chunk of opening, closing and padding', async () => {
  const { prompt, negative, unread } = await encodePrompt([encoder()], '', '');
  expect(prompt[0]!.hidden).toEqual(states(EMPTY));
  expect([...prompt[0]!.mask]).toEqual([1, 1, 0, 0, 0, 0, 0]);
  expect(negative).toEqual(prompt);
  expect(unread).toEqual({ prompt: '', negative: '' });
});

test('the shorter of prompt and negative is filled with empty chunks', async () => {
  const long = await encodePrompt([encoder()], 'a a a a a red', 'red');
  expect(long.prompt[0]!.hidden).toEqual(
    states([BOS, 320, 320, 320, 320, 320, EOS], [BOS, 736, EOS, EOS, EOS, EOS, EOS]),
  );
  expect(long.negative[0]!.hidden).toEqual(states([BOS, 736, EOS, EOS, EOS, EOS, EOS], EMPTY));
  expect([...long.negative[0]!.mask]).toEqual([1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
  const swapped = await encodePrompt([encoder()], 'red', 'a a a a a red');
  expect(swapped).toEqual({ prompt: long.negative, negative: long.prompt, unread: long.unread });
});

test('encoders of one model take equally many chunks, save those that can take but one', async () => {
  const t5Once = encoder({ tokenizer: t5, length: 4, maxChunks: 1, emphasis: false });
  const { prompt, negative } = await encodePrompt([encoder(), encoder({ length: 12 }), t5Once], 'a a a a a red', '');
  expect([...prompt, ...negative].map((text) => text.mask.length)).toEqual([14, 24, 4, 14, 24, 4]);
});

test('the pooled vector is that of the first chunk', async () => {
  const { prompt } = await encodePrompt([encoder({ tokenizer: { ...clip, eos: 1 } })], 'a BREAK red flower', '');
  expect([...prompt[0]!.pooled!]).toEqual([EOS]);
  const none = encoder({ run: async () => ({ hidden: null, pooled: Float32Array.of(3) }) });
  const pooledOnly = await encodePrompt([none], 'a BREAK b', '');
  expect(pooledOnly.prompt[0]).toMatchObject({ hidden: null, pooled: Float32Array.of(3) });
});

test('weights act where the encoder takes them, chunk by chunk, and only there', async () => {
  const one = encoder({ run: async (ids) => ({ hidden: new Float32Array(ids.length).fill(1), pooled: null }) });
  const { prompt } = await encodePrompt([one, { ...one, emphasis: false }], '(red:3) a BREAK a', '');
  // Seven ones, one of them tripled: the mean 9/7 is brought back to 1.
  const scaled = [1, 3, 1, 1, 1, 1, 1].map((w) => expect.closeTo((w * 7) / 9, 6));
  expect([...prompt[0]!.hidden!]).toEqual([...scaled, 1, 1, 1, 1, 1, 1, 1]);
  expect([...prompt[1]!.hidden!]).toEqual(new Array(14).fill(1));
  const plain = await encodePrompt([one], '(red:3) a', '', 'multiply');
  expect([...plain.prompt[0]!.hidden!]).toEqual([1, 3, 1, 1, 1, 1, 1]);
});

test('what one encoder has room for counts as read', async () => {
  const short = encoder({ maxChunks: 1 });
  const longer = encoder({ tokenizer: t5, length: 12, maxChunks: 1, emphasis: false });
  const text = 'a portrait of a woman in soft light';
  const alone = await encodePrompt([short], text, 'a a a a a red');
  expect(alone.unread).toEqual({ prompt: 'in soft light', negative: 'red' });
  const both = await encodePrompt([short, longer], text, '');
  expect(both.unread.prompt.length).toBeLessThan('in soft light'.length);
});

const numbers = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 12, maxLength: 12 });
prop.prop([numbers, fc.array(fc.double({ min: 0.1, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 })])(
  'weights keep the mean, and the proportions of the weighted states',
  (values, weights) => {
    const hidden = Float32Array.from(values, (v) => v + 20);
    const out = applyWeights(hidden, weights, 'restore-mean');
    const mean = (xs: Float32Array) => xs.reduce((a, b) => a + b, 0) / xs.length;
    expect(Math.abs(mean(out) - mean(hidden))).toBeLessThan(1e-4);
    const scale = out[0]! / (hidden[0]! * weights[0]!);
    out.forEach((v, i) => void expect(v).toBeCloseTo(hidden[i]! * weights[Math.floor(i / 3)]! * scale, 3));
  },
);

test('weights of one leave the very states, and a mean of zero is left alone', () => {
  const hidden = Float32Array.of(1, 2, 3, 4);
  expect(applyWeights(hidden, [1, 1], 'restore-mean')).toBe(hidden);
  expect(applyWeights(hidden, [2, 3], 'ignore')).toBe(hidden);
  expect([...applyWeights(Float32Array.of(1, -1, 1, 1), [2, 0], 'restore-mean')]).toEqual([2, -2, 0, 0]);
});
