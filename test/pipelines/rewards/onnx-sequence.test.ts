import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { createReward } from '#pipelines/rewards/index.ts';

const root = mkdtempSync(join(tmpdir(), 'reward-sequence-'));
afterAll(() => rmSync(root, { recursive: true }));
let n = 0;

type Dims = readonly (number | string)[];

/** Σ over positions of position · weight[letter]: order, letters and batch all show in it. */
function scorer(kind: 'LA' | 'AL' | 'L', dims: Dims, manifest?: object, letters = 4): string {
  const folder = join(root, String(n++));
  mkdirSync(folder);
  const b = createBuilder();
  const length = 5;
  const weights = f32(
    [letters, 1],
    Array.from({ length: letters }, (_, i) => 10 ** i),
  );
  const table = b.initializer('weights', weights);
  const positions = f32([1, length], [1, 2, 3, 4, 5]);
  let value: ReturnType<typeof b.input>;
  if (kind === 'L') {
    const ids = b.input('ids', 'int64', [1, length]);
    value = b.apply('Squeeze', [b.gather(table, ids, 0), b.i64([2])]);
  } else {
    const x = b.input('x', 'float32', kind === 'LA' ? [1, length, letters] : [1, letters, length]);
    value = b.apply('Squeeze', [b.matmul(kind === 'LA' ? x : b.transpose(x, [0, 2, 1]), table), b.i64([2])]);
  }
  b.output(b.reduceSum(b.mul(value, b.initializer('positions', positions)), [1], false), 'score');
  const path = join(folder, 'scorer.onnx');
  writeModel(
    b.toModel('scorer', (v) => (v.name === 'score' ? [dims[0]!] : dims)),
    path,
  );
  if (manifest) writeFileSync(join(folder, 'reward.json'), JSON.stringify(manifest));
  return `onnx:${path}`;
}

const items = (...sequences: string[]) => sequences.map((sequence) => ({ kind: 'sequence' as const, sequence }));

async function score(spec: string, ...sequences: string[]): Promise<number[]> {
  const reward = await createReward(spec, { threads: 1 });
  try {
    return Array.from(await reward.score(items(...sequences)));
  } finally {
    await reward.close();
  }
}

/** ACGTA: 1·1 + 2·10 + 3·100 + 4·1000 + 5·1 */
const ACGTA = 4326;

describe('an ONNX reward of sequences', () => {
  test.each([
    ['one-hot, positions then letters', 'LA', ['B', 5, 4]],
    ['one-hot, letters then positions', 'AL', ['B', 4, 5]],
    ['one-hot of free sizes', 'LA', ['B', 'L', 'A']],
    ['one-hot with only the letters fixed', 'AL', ['B', 4, 'L']],
    ['token ids', 'L', ['B', 'L']],
    ['a fixed batch', 'LA', [4, 5, 4]],
  ] as const)('with %s reads each letter where it stands', async (_, kind, dims) => {
    const scores = await score(scorer(kind, dims), 'AAAAA', 'acgta', 'ACGUA', 'TTTTT', 'CCCCC');
    expect(scores).toEqual([15, ACGTA, ACGTA, 15_000, 150]);
  });

  test('knows the alphabet of its reward.json', async () => {
    expect(await score(scorer('LA', ['B', 5, 2], { alphabet: 'YX' }, 2), 'YXYXY')).toEqual([1 + 20 + 3 + 40 + 5]);
  });

  test('gives many sequences their own scores', async () => {
    const scores = await score(
      scorer('LA', ['B', 5, 4]),
      ...Array.from({ length: 40 }, (_, i) => 'ACGT'[i % 4]!.repeat(5)),
    );
    expect(scores).toEqual(Array.from({ length: 40 }, (_, i) => 15 * 10 ** (i % 4)));
  });

  test.each([
    ['a letter it does not know', 'ACNTA', 'reward/letter', '"N" at position 3'],
    ['another length', 'ACGT', 'reward/length', 'has 4 letters'],
  ])('refuses %s', async (_, sequence, code, message) => {
    await expect(score(scorer('LA', ['B', 5, 4]), 'AAAAA', sequence)).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });

  test('refuses pictures, and a graph with room for other letters', async () => {
    const reward = await createReward(scorer('LA', ['B', 5, 4]), { threads: 1 });
    const picture = { kind: 'image', rgb: new Uint8Array(3), width: 1, height: 1, prompt: '' } as const;
    await expect(reward.score([picture])).rejects.toThrow(/scores sequences/);
    await reward.close();
    await expect(createReward(scorer('LA', ['B', 5, 3], undefined, 3))).rejects.toThrow(/4 letters of ACGT/);
  });
});
