import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { clipSkips } from '#models/families/clip-skip.ts';
import { openModelFolder } from '#models/families/index.ts';
import { isExternal } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { createSession } from '#models/runtime/session.ts';
import { i64 } from '#models/tensor/tensor.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { generatePictures, type Picture } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { reproducePicture } from '#pipelines/sampling/reproduce.ts';
import { sd1Files, sdxlFiles, TINY_TOKENS, TINY_VOCABULARY, writeFolder } from '#test/models/families/tiny-folders.ts';
import { tinyTextEncoder } from '#test/models/families/tiny-graphs.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-clip-skip-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const encoder = readModel('test/golden/clip-skip/encoder-17.onnx');
const sd1 = writeFolder(join(root, 'sd1'), {
  ...sd1Files(),
  'text_encoder/model.onnx': encoder,
  'text_encoder/config.json': { max_position_embeddings: 12 },
});

/** Opening, "red", "cat", closing; what closes also fills up. */
const ids = Array.from({ length: TINY_TOKENS }, (_, i) => [0, 10, 16][i] ?? 1);

async function encoded(directory: string, clipSkip: number): Promise<Float32Array> {
  const pipeline = await loadPipeline(directory, { threads: 1, clipSkip });
  try {
    const [condition] = await pipeline.encode(['red cat'], '');
    return condition!.prompt.get('encoder_hidden_states')!.data;
  } finally {
    await pipeline.close();
  }
}

const weights = (name: string): Float32Array => {
  const found = encoder.graph.initializers.get(name);
  if (!found || isExternal(found)) throw new Error(`no ${name}`);
  return found.data as Float32Array;
};

test('Stable Diffusion 1 reads the final norm of an earlier layer', async () => {
  expect(clipSkips(openModelFolder(sd1).model)).toBe(3);
  const session = await createSession(`${root}/sd1/text_encoder/model.onnx`, { threads: 1 });
  const out = await session.run({ input_ids: i64([1, TINY_TOKENS], ids) });
  await session.release();
  const [gamma, beta] = [weights('final_layer_norm.weight'), weights('final_layer_norm.bias')];
  for (const skip of [1, 2, 3]) {
    const state = out[`hidden_states.${4 - skip}`]!.data as Float32Array;
    const wanted = Array.from({ length: TINY_TOKENS }, (_, t) => {
      const x = [...state.subarray(16 * t, 16 * (t + 1))];
      const mean = x.reduce((a, b) => a + b) / 16;
      const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / 16;
      return x.map((v, c) => ((v - mean) / Math.sqrt(variance + 1e-5)) * gamma[c]! + beta[c]!);
    }).flat();
    const found = await encoded(sd1, skip);
    expect(found.length).toBe(wanted.length);
    expect(Math.max(...wanted.map((v, i) => Math.abs(v - found[i]!)))).toBeLessThan(1e-5);
  }
});

test('SDXL reads an earlier layer of both encoders as it is', async () => {
  const clip = { tokens: TINY_TOKENS, vocabulary: TINY_VOCABULARY, layers: 4 };
  const directory = writeFolder(join(root, 'sdxl'), {
    ...sdxlFiles(),
    'text_encoder/model.onnx': tinyTextEncoder({ ...clip, width: 8, outputs: ['hidden_states'], seed: 'te1' }),
    'text_encoder_2/model.onnx': tinyTextEncoder({
      ...{ ...clip, width: 12, projection: 10, seed: 'te2' },
      outputs: ['text_embeds', 'hidden_states'],
    }),
  });
  expect(clipSkips(openModelFolder(directory).model)).toBe(3);
  const found = await encoded(directory, 3);
  const session = await createSession(join(directory, 'text_encoder_2/model.onnx'), { threads: 1 });
  const out = await session.run({ input_ids: i64([1, TINY_TOKENS], ids) });
  await session.release();
  // Of four layers the last but one is read by itself: 3. Two before it: 1.
  const wanted = out['hidden_states.1']!.data as Float32Array;
  for (let t = 0; t < TINY_TOKENS; t++)
    expect(found.subarray(20 * t + 8, 20 * (t + 1))).toEqual(wanted.subarray(12 * t, 12 * (t + 1)));
});

test('a picture says with which clip skip it was made, and is made again with it', async () => {
  const pipeline = await loadPipeline(sd1, { threads: 1, clipSkip: 2 });
  const settings = { steps: 2, eta: 0, guidanceScale: 3, negativePrompt: '', seed: 4, keepTrajectories: false };
  const made: Picture[] = [];
  const requests = [{ prompt: 'red cat', index: 0, noiseIndex: 0 }];
  for await (const p of generatePictures({ pipeline, settings, requests })) made.push(p);
  await pipeline.close();
  const png = made[0]!.png;
  expect(png.includes('Clip skip: 2')).toBe(true);
  expect(await readPictureSettings(png)).toMatchObject({ clipSkip: 2 });
  const path = join(root, 'made.png');
  writeFileSync(path, png);
  const again = await reproducePicture({ picture: path, modelPath: sd1, adapters: new Map(), threads: 1 });
  expect(again.identical).toBe('file');
});
