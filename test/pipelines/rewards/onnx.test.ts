import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Dim, int, type Model, type Node, type ValueInfo } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { type DType, i64, type Tensor } from '#models/tensor/tensor.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import type { ImageItem } from '#pipelines/rewards/types.ts';
import { pattern, picture } from './pictures.ts';

let root = '';
let count = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'reward-'));
});
afterAll(() => rmSync(root, { recursive: true }));

interface Scorer {
  readonly dims?: readonly Dim[];
  readonly dtype?: DType;
  /** Axes the mean is taken over. */
  readonly axes?: readonly number[];
  /** Applied to the mean. */
  readonly opType?: 'Identity' | 'Log';
  readonly extraOutput?: boolean;
  readonly manifest?: unknown;
}

/** A model that gives the mean of its input over `axes`, in a folder of its own. */
function scorer({
  dims = ['B', 3, 'H', 'W'],
  dtype = 'float32',
  axes = [1, 2, 3],
  opType = 'Identity',
  extraOutput = false,
  manifest,
}: Scorer): string {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  const node = (op: string, inputs: string[], outputs: string[], attributes: Node['attributes'] = new Map()): Node => ({
    opType: op,
    domain: '',
    name: op,
    inputs,
    outputs,
    attributes,
  });
  const info = (name: string, d: ValueInfo['dims'], t: DType = dtype): ValueInfo => ({ name, dtype: t, dims: d });
  const outputDims = dims.filter((_, i) => !axes.includes(i));
  const model: Model = {
    irVersion: 10,
    producerName: 'test',
    opsets: new Map([['', 21]]),
    metadata: new Map(),
    graph: {
      name: 'scorer',
      nodes: [
        node('ReduceMean', ['x', 'axes'], ['mean'], new Map([['keepdims', int(0)]])),
        node(opType, ['mean'], ['score']),
      ],
      inputs: [info('x', dims)],
      outputs: [info('score', outputDims), ...(extraOutput ? [info('mean', outputDims)] : [])],
      initializers: new Map<string, Tensor>([['axes', i64([axes.length], axes)]]),
      valueInfo: new Map(),
    },
  };
  const path = join(folder, 'scorer.onnx');
  writeModel(model, path);
  if (manifest !== undefined)
    writeFileSync(join(folder, 'reward.json'), typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  return `onnx:${path}`;
}

async function score(spec: string, ...items: ImageItem[]): Promise<number[]> {
  const reward = await createReward(spec, { threads: 1, provider: 'auto', seed: 0 });
  try {
    return Array.from(await reward.score(items));
  } finally {
    await reward.close();
  }
}

const flat = (r: number, g: number, b: number, size = 4) => picture(size, size, () => [r, g, b]);
const mean = ({ rgb }: ImageItem) => rgb.reduce((s, v) => s + v, 0) / rgb.length / 255;
const refused = (spec: string, code: string, text: RegExp = /./) =>
  expect(createReward(spec)).rejects.toMatchObject({ code, message: expect.stringMatching(text) });

describe('an ONNX reward', () => {
  test('sees pictures in 0…1, in the order given, whatever their sizes', async () => {
    const items = [pattern, flat(255, 0, 0), flat(51, 51, 51), pattern, flat(255, 255, 255, 7)];
    const scores = await score(scorer({}), ...items);
    for (const [i, item] of items.entries()) expect(scores[i]).toBeCloseTo(mean(item), 6);
  });

  test('gets planes in the declared layout', async () => {
    const colour = flat(255, 51, 0);
    const planes = scorer({ axes: [2, 3], manifest: { outputIndex: 1 } });
    const pixels = scorer({ dims: ['B', 'H', 'W', 3], axes: [1, 2], manifest: { outputIndex: 1, layout: 'NHWC' } });
    expect((await score(planes, colour))[0]).toBeCloseTo(0.2, 6);
    expect((await score(pixels, colour))[0]).toBeCloseTo(0.2, 6);
  });

  test('is the output, and the column by number or name, that stand behind its path', async () => {
    const colour = flat(255, 51, 0);
    const log = scorer({ opType: 'Log', extraOutput: true, manifest: { output: 'score' } });
    expect((await score(`${log},output=mean`, flat(51, 51, 51)))[0]).toBeCloseTo(0.2, 6);
    expect((await score(log, flat(51, 51, 51)))[0]).toBeCloseTo(Math.log(0.2), 6);
    const columns = scorer({ axes: [2, 3], manifest: { outputIndex: 0, outputs: ['red', 'green', 'blue'] } });
    for (const [spec, value] of [
      [columns, 1],
      [`${columns},column=1`, 0.2],
      [`${columns},column=green`, 0.2],
      [`${columns},output=score,column=blue`, 0],
    ] as const) {
      expect((await score(spec, colour))[0]).toBeCloseTo(value, 6);
    }
    const reward = await createReward(`${columns},column=green`);
    expect(reward.name).toBe('scorer green');
    await reward.close();
    // Commas of the path itself.
    const folder = join(root, 'a,b=c');
    mkdirSync(folder);
    copyFileSync(columns.slice('onnx:'.length), join(folder, 'scorer.onnx'));
    expect((await score(`onnx:${join(folder, 'scorer.onnx')},column=1`, colour))[0]).toBeCloseTo(0.2, 6);
  });

  test('gets grey when it has one channel', async () => {
    expect((await score(scorer({ dims: ['B', 1, 'H', 'W'] }), flat(255, 0, 0)))[0]).toBeCloseTo(0.2126, 6);
  });

  test('takes range, then mean and standard deviation per channel, from reward.json', async () => {
    const path = scorer({
      axes: [2, 3],
      manifest: { range: [-1, 1], mean: [0, 0.5, 0], std: [1, 2, 1], outputIndex: 1 },
    });
    // 51 is 0.2 of the range: −0.6; (−0.6 − 0.5) / 2.
    expect((await score(path, flat(0, 51, 255)))[0]).toBeCloseTo(-0.55, 6);
  });

  test('gets pictures resized to a size its graph or reward.json fixes', async () => {
    for (const path of [scorer({ dims: ['B', 3, 6, 5] }), scorer({ manifest: { size: 9 } })]) {
      const [small, large] = await score(path, flat(51, 51, 51, 3), flat(102, 102, 102, 20));
      expect(small).toBeCloseTo(0.2, 5);
      expect(large).toBeCloseTo(0.4, 5);
    }
  });

  test('with a fixed batch scores any number of pictures', async () => {
    const items = [0, 51, 102, 153, 204].map((v) => flat(v, v, v));
    for (const batch of [1, 2, 3]) {
      const scores = await score(scorer({ dims: [batch, 3, 4, 4] }), ...items);
      for (const [i, v] of scores.entries()) expect(v).toBeCloseTo(i / 5, 6);
    }
  });

  test('carries its name and direction', async () => {
    const named = await createReward(scorer({ manifest: { name: 'taste', higherIsBetter: false, licence: 'CC0' } }));
    expect(named).toMatchObject({ name: 'taste', higherIsBetter: false });
    await named.close();
    const plain = await createReward(scorer({}));
    expect(plain).toMatchObject({ name: 'scorer', higherIsBetter: true });
    await plain.close();
  });

  test('takes 16-bit floats', async () => {
    expect((await score(scorer({ dtype: 'float16' }), flat(255, 255, 0)))[0]).toBeCloseTo(2 / 3, 3);
  });
});

describe('an ONNX reward is refused by name', () => {
  test('when the file is missing or no model', async () => {
    await refused(`onnx:${join(root, 'nothing.onnx')}`, 'reward/missing', /nothing\.onnx/);
    const broken = join(root, 'broken.onnx');
    writeFileSync(broken, 'not a model');
    await expect(createReward(`onnx:${broken}`)).rejects.toMatchObject({ code: expect.stringMatching(/^session\//) });
  });

  test('when its manifest cannot be read', async () => {
    await refused(scorer({ manifest: '{"size":' }), 'reward/manifest', /reward\.json/);
    await refused(scorer({ manifest: { std: [0] } }), 'reward/manifest', /std/);
    await refused(scorer({ manifest: { layout: 'CHW' } }), 'reward/manifest', /layout/);
  });

  test('when its input is no batch of pictures', async () => {
    await refused(scorer({ dims: ['B', 'L'], axes: [1] }), 'reward/input', /rank 2/);
    await refused(scorer({ dtype: 'float64' }), 'reward/input', /float64/);
    await refused(scorer({ dims: ['B', 4, 'H', 'W'] }), 'reward/input', /4 channels/);
    await refused(scorer({ manifest: { input: 'y' } }), 'reward/input', /"y"/);
    await refused(scorer({ dims: ['B', 3, 8, 8], manifest: { size: 9 } }), 'reward/input', /9/);
  });

  test('when its output is not one number a picture', async () => {
    await refused(scorer({ extraOutput: true }), 'reward/output', /score, mean/);
    await refused(scorer({ manifest: { output: 'z' } }), 'reward/output', /"z"/);
    await expect(score(scorer({ axes: [2, 3] }), pattern)).rejects.toMatchObject({ code: 'reward/output' });
    await expect(score(scorer({ axes: [3] }), pattern)).rejects.toMatchObject({ code: 'reward/output' });
    await expect(score(scorer({ axes: [2, 3], manifest: { outputIndex: 3 } }), pattern)).rejects.toThrow(/column 3/);
    expect(await score(scorer({ extraOutput: true, manifest: { output: 'mean' } }), flat(0, 0, 0))).toEqual([0]);
  });

  test('when what is asked for behind its path is not there, with what is', async () => {
    const two = scorer({ extraOutput: true });
    await refused(`${two},output=z`, 'reward/output', /no output "z"; it has score, mean/);
    await refused(`${two},column=0`, 'reward/output', /2 outputs \(score, mean\)/);
    await refused(`${two},output=mean,column=1`, 'reward/output', /no column "1"; it has only column 0/);
    await refused(`${two},output=mean,size=3`, 'reward/option', /size/);
    await refused(`${two},size=3`, 'reward/missing');
    const columns = scorer({ axes: [2, 3], manifest: { outputs: ['red', 'green', 'blue'] } });
    await refused(`${columns},column=3`, 'reward/output', /red, green, blue: columns 0 to 2/);
    await refused(`${columns},column=grey`, 'reward/output', /"grey"; it has red, green, blue: columns 0 to 2/);
  });

  test('when a score is not finite, with the item', async () => {
    const run = score(scorer({ opType: 'Log' }), flat(9, 9, 9), flat(0, 0, 0));
    await expect(run).rejects.toMatchObject({
      code: 'reward/not-finite',
      message: expect.stringMatching(/-Infinity for item 1/),
    });
  });

  test('when it is given sequences', async () => {
    const reward = await createReward(scorer({}));
    await expect(reward.score([{ kind: 'sequence', sequence: 'ACGT' }])).rejects.toMatchObject({ code: 'reward/kind' });
    await reward.close();
  });
});
