import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { clipSkips, normaliseEarlier, readEarlier } from '#models/families/clip-skip.ts';
import type { ImageModel } from '#models/families/family.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { i64 } from '#models/tensor/tensor.ts';
import { tinyTextEncoder } from './tiny-graphs.ts';

const golden = JSON.parse(readFileSync('test/golden/clip-skip/states.json', 'utf8')) as {
  ids: number[];
  read: Record<string, number[]>;
};
const LAYERS = 3;
const sessions: Session[] = [];
afterAll(async () => {
  for (const session of sessions) await session.release();
});

describe.each([14, 17])('an encoder of opset %i', (opset) => {
  const model = readModel(`test/golden/clip-skip/encoder-${opset}.onnx`);
  test.each([1, 2, 3])('read %i layers from its end gives what the reference gives', async (skip) => {
    const earlier = normaliseEarlier(model, 'last_hidden_state', `hidden_states.${LAYERS + 1 - skip}`);
    const session = await createSession(encodeModel(earlier), { threads: 1 });
    sessions.push(session);
    const ids = i64([1, golden.ids.length], golden.ids);
    const { last_hidden_state: found } = await session.run({ input_ids: ids }, ['last_hidden_state']);
    const wanted = golden.read[skip]!;
    const worst = Math.max(...wanted.map((v, i) => Math.abs(v - Number(found!.data[i]))));
    // Three layers in float32 of numbers up to about 3.
    expect(worst).toBeLessThan(5e-6);
    // The layers that are not read are gone.
    const of = (m: typeof model, layer: number) =>
      [...m.graph.initializers.keys()].filter((n) => n.includes(`layers.${layer}.`));
    expect(of(model, LAYERS - 1).length).toBeGreaterThan(0);
    expect(of(earlier, LAYERS - 1).length === 0).toBe(skip > 1);
  });
});

test('an output that is no layer norm is refused, naming what it is', () => {
  const spec = { tokens: 4, width: 4, vocabulary: 8, outputs: ['last_hidden_state', 'hidden_states'] } as const;
  expect(() => normaliseEarlier(tinyTextEncoder(spec), 'last_hidden_state', 'hidden_states.1')).toThrow(
    expect.objectContaining({ code: 'sampling/clip-skip', message: expect.stringContaining('Identity') }),
  );
});

const part = (earlier: number[], more: object = {}) => ({
  ...{ component: { path: '/m/text_encoder/model.onnx' }, tokenizer: '', tokens: 4, long: false, hidden: 'last' },
  ...{ earlier: earlier.map((i) => `hidden_states.${i}`), normed: true, pooled: null, emphasis: true },
  ...{ masksPadding: false, ...more },
});
const modelOf = (...text: object[]) => ({ title: 'Model', text }) as unknown as ImageModel;

test('clip skip counts from 1, moves every CLIP and no T5, and goes as far as the encoder with the fewest layers', () => {
  const xl = modelOf(
    part([10, 9, 8], { normed: false }),
    part([30, 29], { normed: false }),
    part([], { emphasis: false }),
  );
  expect(clipSkips(xl)).toBe(3);
  const [first, second, t5] = readEarlier(xl, 2);
  expect([first!.part.hidden, second!.part.hidden, t5!.part.hidden]).toEqual([
    'hidden_states.10',
    'hidden_states.30',
    'last',
  ]);
  expect(readEarlier(xl, 3)[0]!.part.hidden).toBe('hidden_states.9');
  expect([first, second, t5].map((r) => r!.normalise)).toEqual([null, null, null]);
  expect(readEarlier(xl, 1).map((r) => r.part)).toEqual(xl.text);
  const [one] = readEarlier(modelOf(part([11, 10])), 3);
  expect(one).toMatchObject({ normalise: 'hidden_states.10', part: { hidden: 'last' } });
});

test('a clip skip that cannot be is refused, with what to do', () => {
  const refused = (model: ImageModel, skip: number) => {
    try {
      readEarlier(model, skip);
    } catch (error) {
      return error;
    }
    return null;
  };
  const code = 'sampling/clip-skip';
  expect(refused(modelOf(part([])), 2)).toMatchObject({ code, hint: expect.stringContaining('output_hidden_states') });
  expect(refused(modelOf(part([11, 10])), 4)).toMatchObject({ code, hint: expect.stringContaining('from 1 to 3') });
  for (const skip of [0, 1.5]) expect(refused(modelOf(part([11, 10])), skip)).toMatchObject({ code });
  expect(refused(modelOf(), 2)).toMatchObject({ code, message: expect.stringContaining('reads no CLIP') });
  expect(refused(modelOf(), 1)).toBeNull();
});
