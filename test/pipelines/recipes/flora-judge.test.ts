import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { sampleAttributes } from '#pipelines/recipes/flora/attributes.ts';
import { loadOrDraw } from '#pipelines/recipes/flora/data.ts';
import { type FlowerDataset, renderDataset } from '#pipelines/recipes/flora/dataset.ts';
import { augment, grainBank } from '#pipelines/recipes/flora-judge/augment.ts';
import { evaluateJudge } from '#pipelines/recipes/flora-judge/evaluate.ts';
import { columnsOf, LAYOUT, readLogits, writeOneHot } from '#pipelines/recipes/flora-judge/layout.ts';
import { buildJudge, JUDGE } from '#pipelines/recipes/flora-judge/network.ts';
import { floraJudgeSchema, judgeBatch, trainFloraJudge } from '#pipelines/recipes/flora-judge/train.ts';
import { buildJudgeTrainingGraph } from '#pipelines/recipes/flora-judge/training-graph.ts';
import { recipes } from '#pipelines/recipes/index.ts';
import type { RecipeIo } from '#pipelines/recipes/types.ts';

const K = columnsOf(LAYOUT);
const PIXELS = 3 * 64 * 64;
const seeds = fc.integer({ min: 0, max: 2 ** 31 });

describe('the layout of the logits', () => {
  prop.prop([seeds])('reads back what it wrote', (seed) => {
    const a = sampleAttributes(new Rng(seed));
    const row = new Float32Array(K + 3);
    writeOneHot(a, row, 3);
    expect(row.reduce((x, y) => x + y, 0)).toBe(LAYOUT.length);
    expect(readLogits(LAYOUT, row, 3)).toEqual(a);
  });
});

describe('spoiling a drawing', () => {
  const bytes = (rng: Rng) => Uint8Array.from({ length: PIXELS }, () => rng.int(256));
  const bank = grainBank(new Rng(5));
  const spoilt = (pixels: Uint8Array, rng: Rng, grain = bank) => {
    const out = new Float32Array(PIXELS);
    augment(pixels, 0, rng, grain, out, 0);
    return out;
  };

  prop.prop([seeds], { numRuns: 20 })('depends on its stream alone and stays in 0…1', (seed) => {
    const pixels = bytes(new Rng(seed));
    const once = spoilt(pixels, new Rng(seed).fork(1));
    expect(spoilt(pixels, new Rng(seed).fork(1))).toEqual(once);
    expect(spoilt(pixels, new Rng(seed).fork(2))).not.toEqual(once);
    expect(once.every((v) => v >= 0 && v <= 1)).toBe(true);
  });

  prop.prop([seeds], { numRuns: 20 })(
    'changes the light of all channels alike: without grain, grey stays grey',
    (seed) => {
      const grey = bytes(new Rng(seed)).subarray(0, PIXELS / 3);
      const out = spoilt(Uint8Array.from([...grey, ...grey, ...grey]), new Rng(seed), new Float32Array(2 * PIXELS));
      const [r, g, b] = [0, 1, 2].map((c) => out.subarray((c * PIXELS) / 3, ((c + 1) * PIXELS) / 3));
      expect(g).toEqual(r);
      expect(b).toEqual(r);
    },
  );

  prop.prop([seeds], { numRuns: 20 })('moves a mark by two pixels at most', (seed) => {
    const pixels = new Uint8Array(PIXELS).fill(20);
    for (let c = 0; c < 3; c++) pixels[c * 4096 + 30 * 64 + 40] = 255;
    const out = spoilt(pixels, new Rng(seed), new Float32Array(2 * PIXELS)).subarray(0, 4096);
    const at = out.indexOf(Math.max(...out));
    expect(Math.abs(Math.floor(at / 64) - 30)).toBeLessThanOrEqual(2);
    expect(Math.abs((at % 64) - 40)).toBeLessThanOrEqual(2);
  });
});

describe('the training graph', () => {
  test('starts at the loss of guessing, with the gradient of softmax minus label', async () => {
    const judge = buildJudge(JUDGE, 1);
    const graph = buildJudgeTrainingGraph(judge, 4, JUDGE.size, { kind: 'flat' });
    const data = await renderDataset({ count: 6, seed: 3, split: 'train' });
    const feeds: Record<string, Tensor> = judgeBatch(data, 4, new Rng(2))(0);
    const target = feeds.target!.data as Float32Array;
    for (const name of graph.parameters) feeds[name] = judge.graph.initializers.get(name) as Tensor;
    const session = await createSession(encodeModel(graph.model), { threads: 1 });
    const out = await session.run(feeds);
    await session.release();
    // Σ ln n over the attributes: every answer is as likely as the others while the last layer is zero.
    const guess = LAYOUT.reduce((sum, a) => sum + Math.log(a.values.length), 0);
    expect((out.loss!.data as Float32Array)[0]).toBeCloseTo(guess, 5);
    const expected = LAYOUT.flatMap((a) => a.values.map(() => 1 / a.values.length)).map(
      (p, k) => p - [0, 1, 2, 3].reduce((sum, b) => sum + target[b * K + k]!, 0) / 4,
    );
    const bias = out['grad/heads.bias']!.data as Float32Array;
    for (const [k, g] of expected.entries()) expect(bias[k]).toBeCloseTo(g, 6);
    expect(graph.parameters.length).toBe(
      [...judge.graph.initializers.keys()].filter((n) => /weight|bias/.test(n)).length,
    );
  });

  test('gives the gradient that differences of its loss give', async () => {
    const judge = buildJudge({ ...JUDGE, channels: [8, 8, 8], reduced: 4, hidden: 8 }, 1);
    const graph = buildJudgeTrainingGraph(judge, 2, JUDGE.size, { kind: 'flat' });
    const data = await renderDataset({ count: 2, seed: 3, split: 'train' });
    const rng = new Rng(8);
    const feeds: Record<string, Tensor> = judgeBatch(data, 2, new Rng(2))(0);
    for (const name of graph.parameters) {
      const w = judge.graph.initializers.get(name) as Tensor<'float32'>;
      feeds[name] = f32(
        w.dims,
        w.data.map((v) => v + 0.1 * rng.normal()),
      );
    }
    const session = await createSession(encodeModel(graph.model), { threads: 1 });
    const out = await session.run(feeds);
    const direction = graph.parameters.map((name) =>
      rng.fork(name).fillNormal(new Float32Array((feeds[name]!.data as Float32Array).length)),
    );
    const lossAt = async (h: number) => {
      const moved = { ...feeds };
      graph.parameters.forEach((name, i) => {
        const w = feeds[name] as Tensor<'float32'>;
        moved[name] = f32(
          w.dims,
          w.data.map((v, j) => v + h * direction[i]![j]!),
        );
      });
      return (await session.run(moved, ['loss'])).loss!.data[0] as number;
    };
    const slope = ((await lossAt(1e-3)) - (await lossAt(-1e-3))) / 2e-3;
    const dot = graph.parameters.reduce((sum, name, i) => {
      const g = out[`grad/${name}`]!.data as Float32Array;
      return sum + g.reduce((s, v, j) => s + v * direction[i]![j]!, 0);
    }, 0);
    await session.release();
    // float32 loss of about 10, step 1e-3 along some 3000 weights at once.
    expect(Math.abs(slope - dot)).toBeLessThan(2e-2 * Math.abs(dot));
  });
});

test('an evaluation counts each mistake once, where it was made', async () => {
  const attributes = Array.from({ length: 40 }, (_, i) => sampleAttributes(new Rng(i)));
  const data: FlowerDataset = { count: 40, pixels: new Uint8Array(40 * PIXELS), attributes };
  const facing = attributes.findIndex((a) => a.petalCount === 'six');
  let from = 0;
  // Answers rightly but for one flower, whose six petals it takes for nine.
  const session: Session = {
    inputs: [],
    outputs: [],
    async run({ image }) {
      const n = image!.dims[0]!;
      const logits = new Float32Array(n * K);
      for (let i = 0; i < n; i++) {
        const a = attributes[from + i]!;
        writeOneHot(from + i === facing ? { ...a, petalCount: 'nine' } : a, logits, i * K);
      }
      from += n;
      return { logits: f32([n, K], logits) };
    },
    async release() {},
  };
  const result = await evaluateJudge(session, data);
  const visible = attributes.filter((a) => a.petalCount !== null).length;
  const petals = result.attributes.find((a) => a.name === 'petalCount')!;
  expect(petals.accuracy).toBeCloseTo(39 / 40, 12);
  expect(petals.whereVisible).toBeCloseTo((visible - 1) / visible, 12);
  expect(petals.confusion[petals.values.indexOf('six')]![petals.values.indexOf('nine')]).toBe(1);
  expect(result.allRight).toBeCloseTo(39 / 40, 12);
  expect(result.mean).toBeCloseTo((6 + 39 / 40) / 7, 12);
});

describe('the recipe', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'judge-'));
  });
  afterAll(() => rmSync(root, { recursive: true }));
  const set = floraJudgeSchema.parse({
    steps: 4,
    batch: 2,
    drawings: 4,
    heldOut: 2,
    warmup: 1,
    decay: 2,
    checkpointEvery: 3,
  });
  const io = (abort?: { controller: AbortController; after: number }): RecipeIo => ({
    progress: (stage, done) => {
      if (stage.startsWith('training') && abort && done === abort.after) abort.controller.abort();
    },
    note: () => {},
    signal: (abort?.controller ?? new AbortController()).signal,
    whenStopped: () => {},
  });

  test('stopped and resumed gives the same bytes as in one go', async () => {
    const [whole, parts] = [join(root, 'whole'), join(root, 'parts')];
    const options = { resume: false, seed: 1, threads: 1, set };
    const done = await trainFloraJudge({ ...options, out: whole }, io());
    const controller = new AbortController();
    const stopped = await trainFloraJudge({ ...options, out: parts }, io({ controller, after: 2 }));
    expect([done.steps, stopped.steps]).toEqual([4, 2]);
    expect(readFileSync(join(parts, 'model.onnx'))).not.toEqual(readFileSync(join(whole, 'model.onnx')));
    await trainFloraJudge({ ...options, out: parts, resume: true }, io());
    expect(readFileSync(join(parts, 'model.onnx'))).toEqual(readFileSync(join(whole, 'model.onnx')));
    const card = readFileSync(join(whole, 'README.md'), 'utf8');
    expect(card).toContain('northlight train flora-judge --out DIR --seed 1 --threads 1 --set steps=4 --set batch=2');
    expect(card).toContain(`**${(100 * done.mean!).toFixed(1)} %**`);
    expect(readFileSync(join(parts, 'evaluation.json'))).toEqual(readFileSync(join(whole, 'evaluation.json')));
  });

  test('draws other flowers than the flower model with the same seed', async () => {
    const folder = join(root, 'whole', 'training');
    const mine = await loadOrDraw(folder, 4, new Rng(1).fork('flora-judge', 'drawings').word(), () => {});
    const floras = await renderDataset({ count: 4, seed: 1, split: 'train' });
    expect(Buffer.from(mine.pixels)).not.toEqual(Buffer.from(floras.pixels));
    expect(mine.attributes).not.toEqual(floras.attributes);
  });

  test('is known to `train` by its name', () => {
    expect(recipes['flora-judge']).toMatchObject({ name: 'flora-judge', schema: floraJudgeSchema });
  });
});
