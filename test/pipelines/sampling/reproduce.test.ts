import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { amplifiedDifference, pictureDifference } from '#pipelines/images/difference.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { readPngText, withPngText } from '#pipelines/images/png-text.ts';
import { generatePictures, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import { type AdapterFile, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { reproducePicture } from '#pipelines/sampling/reproduce.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-reproduce-'));
const flora = 'models/bundled/flora';
const tiny = join(folder, 'tiny');
const other = join(folder, 'other');
const adapter = join(folder, 'style.safetensors');
const picture = join(folder, 'picture.png');
const adapted = join(folder, 'adapted.png');
const ofTiny = join(folder, 'tiny.png');

const SETTINGS: SamplingSettings = {
  scheduler: 'ddim',
  steps: 2,
  eta: 1,
  guidanceScale: 3,
  negativePrompt: 'a white lily',
  seed: 5,
  keepTrajectories: true,
};

async function make(path: string, model: string, adapters: AdapterFile[] = []): Promise<void> {
  const pipeline = await loadPipeline(model, { adapters, threads: 1 });
  const requests = [{ prompt: 'a red tulip', index: 3, noiseIndex: 1 }];
  for await (const made of generatePictures({ pipeline, settings: SETTINGS, requests })) writeFileSync(path, made.png);
  await pipeline.close();
}

beforeAll(async () => {
  await make(picture, flora);
  writeTinyModel(tiny);
  writeTinyModel(other, 2);
  const pipeline = await loadPipeline(tiny, { threads: 1 });
  const scale = { rank: 2, alpha: 2 };
  const targets = findLoraTargets(pipeline.folder.unet, 'all');
  writeLoraFile(adapter, { targets, config: { ...scale, targets: 'all' }, parameters: randomLora(targets, scale, 4) });
  await pipeline.close();
  await make(adapted, tiny, [{ path: adapter, weight: 0.5 }]);
  await make(ofTiny, tiny);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The picture with another word in its settings. */
function edited(path: string, name: string, change: (settings: Record<string, unknown>) => void): string {
  const bytes = readFileSync(path);
  const settings = JSON.parse(readPngText(bytes).northlight!) as Record<string, unknown>;
  change(settings);
  const target = join(folder, name);
  writeFileSync(target, withPngText(bytes, { northlight: JSON.stringify(settings) }));
  return target;
}

const again = (path: string, modelPath: string, adapters = new Map<string, string>()) =>
  reproducePicture({ picture: path, modelPath, adapters, threads: 1 });

describe('a picture made again', () => {
  test('has the same bytes, with the bundled model', async () => {
    const found = await again(picture, flora);
    expect(found).toMatchObject({ identical: 'file', notes: [], amplified: null });
    expect(found.difference).toEqual({ max: 0, mean: 0, differing: 0, pixels: 64 * 64 });
    expect(found.png.equals(readFileSync(picture))).toBe(true);
  });

  test('with another seed is another, and the difference is shown', async () => {
    const path = edited(ofTiny, 'seed.png', (s) => {
      s.seed = 6;
    });
    const found = await again(path, tiny);
    expect(found.notes.join()).toMatch(/did not start from the noise of its seed/);
    expect(found.identical).toBe('no');
    expect(found.difference.max).toBeGreaterThan(0);
    expect(found.difference.differing).toBeGreaterThan(0);
    expect(found.difference.mean).toBeLessThanOrEqual(found.difference.max);
    const shown = await decodeImage(found.amplified!.png);
    expect(Math.max(...shown.data)).toBe(found.difference.max * found.amplified!.factor);
  });

  test('with an adapter needs that adapter, by its content', async () => {
    const hash = hashAdapter(adapter);
    const found = await again(adapted, tiny, new Map([[hash, adapter]]));
    expect(found.identical).toBe('file');
    await expect(again(adapted, tiny)).rejects.toMatchObject({
      code: 'reproduce/adapter-missing',
      message: expect.stringContaining('"style"'),
    });
  });

  test('by a model that changed says so', async () => {
    const found = await again(ofTiny, other);
    expect(found.identical).toBe('no');
    expect(found.notes.join()).toMatch(/The model is another one.*"Tiny"/);
  });

  test('names another provider and another version', async () => {
    const path = edited(ofTiny, 'provider.png', (s) => {
      s.provider = 'webgpu';
      s.version = '0.0.1';
    });
    const found = await again(path, tiny);
    expect(found.identical).toBe('pixels');
    expect(found.notes.join()).toMatch(/made on webgpu.*Northlight 0\.0\.1/);
  });

  test('from another picture, or by another program, is refused by name', async () => {
    const path = edited(ofTiny, 'start.png', (s) => {
      s.denoising = 0.5;
    });
    await expect(again(path, tiny)).rejects.toMatchObject({ code: 'reproduce/start-picture' });
    const bare = edited(ofTiny, 'bare.png', (s) => {
      delete s.model;
    });
    await expect(again(bare, tiny)).rejects.toMatchObject({ code: 'reproduce/no-settings' });
  });
});

describe('the difference of two pictures', () => {
  const rgb = (...data: number[]) => ({ data: Uint8Array.from(data), width: data.length / 3, height: 1 });
  test('is counted by channel and by pixel', () => {
    const [a, b] = [rgb(0, 10, 20, 5, 5, 5), rgb(3, 10, 14, 5, 5, 5)];
    expect(pictureDifference(a, b)).toEqual({ max: 6, mean: 9 / 6, differing: 1, pixels: 2 });
    expect(amplifiedDifference(a, b)).toEqual({ rgb: Uint8Array.of(126, 0, 252, 0, 0, 0), factor: 42 });
    expect(() => pictureDifference(a, rgb(1, 2, 3))).toThrow(expect.objectContaining({ code: 'picture/other-size' }));
  });
});

describe('northlight reproduce', () => {
  test('finds the bundled model by what the picture says', async () => {
    const run = await runCli('reproduce', picture, '--json', '--threads', '1');
    expect(run.code).toBe(0);
    expect(run.result()).toMatchObject({ type: 'result', identical: 'file', max: 0, differing: 0, notes: [] });
  });

  test('ends with 1 and pictures to look at when they differ', async () => {
    const out = join(folder, 'out');
    const run = await runCli('reproduce', ofTiny, '--model', other, '--out', out, '--threads', '1');
    expect(run.code).toBe(1);
    expect(run.out).toMatch(/Different: \d+ of 64 pixels/);
    for (const name of ['reproduction.png', 'difference.png']) {
      expect(await decodeImage(join(out, name))).toMatchObject({ width: 8, height: 8 });
    }
  });

  test('takes adapters by --lora, and names what is missing', async () => {
    const run = await runCli('reproduce', adapted, '--model', tiny, '--lora', adapter, '--json', '--threads', '1');
    expect(run.result()).toMatchObject({ identical: 'file' });
    const without = await runCli('reproduce', adapted, '--model', tiny);
    expect(without).toMatchObject({ code: 2, err: expect.stringContaining('style') });
    const nowhere = await runCli('reproduce', ofTiny);
    expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining('--model') });
  });
});
