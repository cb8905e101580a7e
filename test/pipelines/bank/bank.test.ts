import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Bank, bankKeys, findBank, picturePath, readBank } from '#pipelines/bank/bank.ts';
import { readColumn, upwards } from '#pipelines/bank/columns.ts';
import { growBank } from '#pipelines/bank/grow.ts';
import { type BankIdentity, bankKey, defaultSamples } from '#pipelines/bank/key.ts';
import { pictureSource } from '#pipelines/bank/picture-source.ts';
import { rewardKey } from '#pipelines/bank/reward-key.ts';
import { scoreBank } from '#pipelines/bank/score-bank.ts';
import { sequenceSource } from '#pipelines/bank/sequence-source.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import { loadSequencePipeline } from '#pipelines/sampling/generate-sequences.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-bank-'));
const project = join(folder, 'project');
const closers: (() => Promise<void>)[] = [];
let pictures: BankSource;
let sequences: BankSource;
let pictureSettings: (change: object) => Promise<BankSource>;

beforeAll(async () => {
  const pipeline = await loadPipeline(writeTinyModel(join(folder, 'tiny')), { threads: 1 });
  const settings = { steps: 2, eta: 1, guidanceScale: 1, negativePrompt: '', seed: 5, keepTrajectories: false };
  pictureSettings = (change) => pictureSource(pipeline, { ...settings, ...change }, ['a red tulip', 'a blue rose']);
  pictures = await pictureSettings({});
  const masked = await loadSequencePipeline(writeTinyMaskedModel(join(folder, 'masked'), { length: 12 }), {
    threads: 1,
  });
  const asked = { eta: 0, steps: 4, guidanceScale: 1, seed: 9, classId: null, length: null };
  sequences = await sequenceSource(masked, asked, { adapters: [], provider: 'cpu' });
  closers.push(pipeline.close, masked.close);
});
afterEach(() => rmSync(project, { recursive: true, force: true }));
afterAll(async () => {
  for (const close of closers) await close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const without = ({ items }: Bank) => items.map(({ seconds: _, ...rest }) => rest);
const grow = (source: BankSource, count: number) => growBank(readBank(project, source.identity), source, count);

describe.each([
  ['pictures', () => pictures],
  ['sequences', () => sequences],
])('a bank of %s', (_kind, of) => {
  test('that grows makes the missing samples only, and is the one that was made at once', async () => {
    const source = of();
    await grow(source, 3);
    const before = source.calls.count;
    const grown = await grow(source, 7);
    const perSample = source.calls.count - before;
    expect(perSample % 4).toBe(0);
    rmSync(project, { recursive: true });
    const once = await grow(source, 7);
    expect(without(once)).toEqual(without(grown));
    expect(source.calls.count - before - perSample).toBe((perSample / 4) * 7);
    const again = source.calls.count;
    expect(without(await grow(source, 5))).toEqual(without(once));
    expect(source.calls.count).toBe(again);
  });

  test('that is stopped keeps what it made, also where a line was cut short', async () => {
    const source = of();
    const bank = readBank(project, source.identity);
    const stop = growBank(bank, source, 40, {
      checkpoint: () => {
        if (readBank(project, source.identity).items.length >= 4) throw new Error('stopped');
      },
    });
    await expect(stop).rejects.toThrow('stopped');
    const kept = readBank(project, source.identity);
    expect(kept.items.length).toBeGreaterThanOrEqual(4);
    expect(kept.items.length).toBeLessThan(40);
    appendFileSync(join(bank.directory, 'samples.jsonl'), '{"index":');
    expect(without(readBank(project, source.identity))).toEqual(without(kept));
    const whole = await grow(source, 20);
    expect(whole.items.map(({ index }) => index)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(without(findBank(project, bank.key.slice(0, 8)))).toEqual(without(whole));
  });
});

test('a picture whose file is gone is made again, the same', async () => {
  const bank = await grow(pictures, 4);
  const { sample } = bank.items[2]!;
  const path = picturePath(bank.directory, sample.kind === 'image' ? sample.hash : '');
  const bytes = readFileSync(path);
  rmSync(path);
  expect(readBank(project, pictures.identity).items).toHaveLength(2);
  expect(without(await grow(pictures, 4))).toEqual(without(bank));
  expect(readFileSync(path)).toEqual(bytes);
});

describe('the key', () => {
  test('does not change with the seed of the run or the order of prompts, and does with everything else', async () => {
    const { identity } = pictures;
    const key = bankKey(identity);
    expect(bankKey((await pictureSettings({ seed: 1, keepTrajectories: true })).identity)).toBe(key);
    const shuffled = Object.fromEntries(Object.entries(identity).reverse()) as unknown as BankIdentity;
    expect(bankKey(shuffled)).toBe(key);
    const others = [
      await pictureSettings({ steps: 3 }),
      await pictureSettings({ eta: 0.5 }),
      await pictureSettings({ guidanceScale: 2 }),
      await pictureSettings({ scheduler: 'ddpm' }),
      await pictureSettings({ negativePrompt: 'blue' }),
    ].map((source) => source.identity);
    others.push(
      { ...identity, model: '0'.repeat(64) },
      { ...identity, adapters: [{ sha256: '1'.repeat(64), weight: 1 }] },
      { ...identity, prompts: ['a red tulip'] },
      { ...identity, seed: 1 },
      { ...identity, provider: 'webgpu' },
    );
    expect(new Set([key, ...others.map(bankKey)]).size).toBe(others.length + 1);
  });

  test('of a sampler without eta does not change with it', async () => {
    const [a, b] = [
      await pictureSettings({ scheduler: 'ddpm', eta: 1 }),
      await pictureSettings({ scheduler: 'ddpm', eta: 0 }),
    ];
    expect(bankKey(a.identity)).toBe(bankKey(b.identity));
  });

  test('names a bank, and what is no bank is said', async () => {
    expect(bankKeys(project)).toEqual([]);
    const bank = await grow(sequences, 2);
    expect(bankKeys(project)).toEqual([bank.key]);
    expect(() => findBank(project, 'f0f0f0f0f0')).toThrow(expect.objectContaining({ code: 'bank/unknown' }));
    writeFileSync(join(bank.directory, 'bank.json'), '{');
    expect(() => findBank(project, bank.key)).toThrow(expect.objectContaining({ code: 'bank/damaged' }));
  });

  test('has 64 samples for each prompt and 256 in all where nobody says more', () => {
    expect([1, 4, 5].map(defaultSamples)).toEqual([256, 256, 320]);
  });
});

describe('rewards of a bank', () => {
  test('are added without a sample being made, and only those that are missing', async () => {
    const bank = await grow(pictures, 5);
    const calls = pictures.calls.count;
    const first = await scoreBank(bank, 'brightness', { threads: 1 });
    expect(first.values).toHaveLength(5);
    const grown = await grow(pictures, 8);
    const made = pictures.calls.count;
    expect(made).toBeGreaterThan(calls);
    expect(readColumn(grown, 'brightness')!.values).toEqual(first.values);
    let scored = 0;
    const all = await scoreBank(grown, 'brightness', { threads: 1 }, { onProgress: () => scored++ });
    expect(all.values.slice(0, 5)).toEqual(first.values);
    expect(all.values).toHaveLength(8);
    expect(scored).toBe(1);
    await scoreBank(grown, 'brightness', { threads: 1 }, { onProgress: () => scored++ });
    expect(scored).toBe(1);
    expect(pictures.calls.count).toBe(made);
    expect(readColumn(grown, 'contrast')).toBeNull();
  });

  test('that are better when lower are turned around', async () => {
    const bank = await grow(pictures, 3);
    const column = await scoreBank(bank, 'palette-distance:#204080', { threads: 1 });
    expect(column.higherIsBetter).toBe(false);
    expect([...upwards(column)]).toEqual(column.values.map((v) => -v));
  });

  test('that cannot be read are scored again', async () => {
    const bank = await grow(sequences, 3);
    const { values } = await scoreBank(bank, 'gc', {});
    writeFileSync(join(bank.directory, 'rewards', `${rewardKey('gc')}.json`), '{"values":');
    expect(readColumn(bank, 'gc')).toBeNull();
    expect((await scoreBank(bank, 'gc', {})).values).toEqual(values);
  });
});

describe('what a reward is', () => {
  const scripts = join(folder, 'scripts');
  const write = (name: string, text: string) => {
    mkdirSync(scripts, { recursive: true });
    writeFileSync(join(scripts, name), text);
    return join(scripts, name);
  };

  test('follows the contents of its files, not their names', () => {
    const path = write('a.mjs', 'export default () => [1];');
    const key = rewardKey(`module:${path}`);
    copyFileSync(path, join(scripts, 'b.mjs'));
    expect(rewardKey(`module:${join(scripts, 'b.mjs')}`)).toBe(key);
    write('b.mjs', 'export default () => [2];');
    expect(rewardKey(`module:${join(scripts, 'b.mjs')}`)).not.toBe(key);
  });

  test('follows the program of a command and what lies beside a network', () => {
    const path = write('score.sh', 'echo 1');
    const command = rewardKey(`command:${path} --fast`);
    expect(rewardKey(`command:${path} --slow`)).not.toBe(command);
    write('score.sh', 'echo 2');
    expect(rewardKey(`command:${path} --fast`)).not.toBe(command);
    const network = write('net.onnx', 'graph');
    const bare = rewardKey(`onnx:${network}`);
    write('reward.json', '{"higherIsBetter":false}');
    expect(rewardKey(`onnx:${network}`)).not.toBe(bare);
  });

  test('is its options', () => {
    const keys = ['brightness', 'contrast', 'expr:brightness+1', 'expr:brightness+2', 'motif:TATA', 'motif:TATAA'];
    expect(new Set(keys.map(rewardKey)).size).toBe(keys.length);
  });
});
