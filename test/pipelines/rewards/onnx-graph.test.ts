import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { resizeRgb, rgbToTensor } from '#pipelines/images/images.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { cubicMatrix } from '#pipelines/rewards/picture-graph.ts';
import type { ImageItem } from '#pipelines/rewards/types.ts';
import { openSlope } from '#pipelines/sampling/reward-slope.ts';
import { type TinyScorer, writeTinyScorer } from '#test/support/reward-models.ts';
import { pattern, picture } from './pictures.ts';

const root = mkdtempSync(join(tmpdir(), 'reward-graph-'));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const written = (scorer: TinyScorer) => `onnx:${writeTinyScorer(join(root, String(count++)), scorer)}`;

const shapeOf = ({ width, height }: ImageItem) => ({ kind: 'image', channels: 3, width, height }) as const;

/** Score by the reward, and value and slope by its graph. */
async function both(spec: string, item: ImageItem) {
  const reward = await createReward(spec, { threads: 1 });
  const slope = await openSlope(reward.graph!(shapeOf(item)), { threads: 1 });
  const sample = rgbToTensor(item.rgb, item.width, item.height);
  const [score] = await reward.score([item]);
  const better = reward.higherIsBetter ? score! : -score!;
  const [value] = await slope.values([sample], [0]);
  const [gradient] = await slope.gradient([sample], [0]);
  const along = new Rng(1).fillNormal(new Float32Array(sample.length));
  const moved = (by: number) => sample.map((v, i) => v + by * along[i]!);
  const epsilon = 2e-3;
  const [up, down] = await slope.values([moved(epsilon), moved(-epsilon)], [0, 0]);
  await Promise.all([reward.close(), slope.close()]);
  return {
    better,
    value: value!,
    directional: gradient!.reduce((sum, g, i) => sum + g * along[i]!, 0),
    difference: (up! - down!) / (2 * epsilon),
  };
}

/** Inside black and white, so that no difference steps over an edge. */
const soft = picture(8, 4, (x, y) => [20 + x * 25, 40 + ((x * y * 37) % 160), 200 - y * 30]);

describe('a reward as a graph says what the reward says, higher is better, and knows its slope', () => {
  test.each<[string, string]>([
    ['brightness', 'brightness'],
    ['warmth', 'warmth'],
    ['contrast', 'contrast'],
    ['planes of free size', written({ dims: ['B', 3, 4, 8], sizes: [1, 3, 4, 8] })],
    [
      'grey, lower is better',
      written({ dims: ['B', 1, 4, 8], sizes: [1, 1, 4, 8], manifest: { higherIsBetter: false } }),
    ],
    [
      'channels last, with a range, mean and std',
      written({
        dims: ['B', 4, 8, 3],
        sizes: [1, 4, 8, 3],
        manifest: { layout: 'NHWC', range: [-1, 1], mean: [0.1, 0.2, 0.3], std: [0.5, 0.6, 0.7] },
      }),
    ],
    [
      'the second of three columns, of a batch of two',
      written({ dims: [2, 3, 4, 8], sizes: [2, 3, 4, 8], columns: 3, manifest: { outputIndex: 1 } }),
    ],
    [
      'the third of three columns, named behind its path',
      `${written({ dims: ['B', 3, 4, 8], sizes: [1, 3, 4, 8], columns: 3, manifest: { outputIndex: 1 } })},column=2`,
    ],
  ])('%s', async (_, spec) => {
    const { better, value, directional, difference } = await both(spec, soft);
    expect(value).toBeCloseTo(better, 5);
    // Rounding of float32 in a difference of 2e-3.
    expect(Math.abs(directional - difference)).toBeLessThan(0.01 * Math.abs(difference) + 1e-3);
  });

  test.each([
    [16, 12],
    [5, 3],
    [8, 9],
  ])('a picture resized to %i × %i, up to rounding', async (width, height) => {
    const spec = written({ dims: ['B', 3, height, width], sizes: [1, 3, height, width] });
    const { better, value, directional, difference } = await both(spec, soft);
    expect(value).toBeCloseTo(better, 1);
    expect(Math.abs(directional - difference)).toBeLessThan(0.01 * Math.abs(difference) + 1e-3);
  });
});

test.each([
  [8, 16],
  [8, 5],
  [8, 3],
])('cubic matrices from %i to %i do to a row what resizing does to a picture', async (from, to) => {
  const row = picture(from, 1, (x) => [60 + ((x * 53) % 120), 0, 0]);
  const resized = await resizeRgb(row.rgb, from, 1, to, 1, 'cubic');
  const matrix = cubicMatrix(from, to);
  for (let i = 0; i < to; i++) {
    let sum = 0;
    for (let j = 0; j < from; j++) sum += matrix[i * from + j]! * row.rgb[j * 3]!;
    expect(Math.abs(sum - resized[i * 3]!)).toBeLessThan(1.5);
  }
});

describe('a scorer of sequences', () => {
  const item = (length: number, alphabet = 'ACGT') => ({ kind: 'sequence', length, alphabet }) as const;
  const onehot = (sequence: string, alphabet: string) =>
    Float32Array.from([...sequence].flatMap((l) => [...alphabet].map((a) => (a === l ? 1 : 0))));

  test.each([
    ['one-hot', { dims: ['B', 6, 4], sizes: [1, 6, 4] }],
    ['letters first', { dims: ['B', 4, 6], sizes: [1, 4, 6] }],
    ['U for T, in another order', { dims: ['B', 6, 4], sizes: [1, 6, 4], manifest: { alphabet: 'UGCA' } }],
  ] as const)('%s gives certain letters their score', async (_, scorer) => {
    const reward = await createReward(written(scorer), { threads: 1 });
    const slope = await openSlope(reward.graph!(item(6)), { threads: 1 });
    const [score] = await reward.score([{ kind: 'sequence', sequence: 'GATTCA' }]);
    const [value] = await slope.values([onehot('GATTCA', 'ACGT')], [0]);
    expect(value).toBeCloseTo(score!, 5);
    await Promise.all([reward.close(), slope.close()]);
  });

  test('is refused by name where it takes ids, another length, or does not know a letter; and pictures are', async () => {
    const reward = await createReward(written({ dims: ['B', 6, 4], sizes: [1, 6, 4] }), { threads: 1 });
    expect(() => reward.graph!(item(7))).toThrow(expect.objectContaining({ code: 'reward/length' }));
    expect(() => reward.graph!(item(6, 'ACGN'))).toThrow(expect.objectContaining({ code: 'reward/letter' }));
    expect(() => reward.graph!(shapeOf(pattern))).toThrow(expect.objectContaining({ code: 'reward/kind' }));
    await reward.close();
    const bright = await createReward('brightness');
    expect(() => bright.graph!(item(6))).toThrow(expect.objectContaining({ code: 'reward/kind' }));
    expect((await createReward('compressibility')).graph).toBeUndefined();
  });
});
