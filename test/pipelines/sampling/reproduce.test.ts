import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { amplifiedDifference, pictureDifference } from '#pipelines/images/difference.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { reproducePicture } from '#pipelines/sampling/reproduce.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { type MadePictures, makePicture, makePictures, withSettings } from '#test/support/made-pictures.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-reproduce-'));
const flora = 'models/bundled/flora';
const picture = join(folder, 'picture.png');
let made: MadePictures;

beforeAll(async () => {
  await makePicture(picture, flora);
  made = await makePictures(folder);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const edited = (name: string, change: (settings: Record<string, unknown>) => void) =>
  withSettings(made.plain, join(folder, name), change);

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
    const path = edited('seed.png', (s) => {
      s.seed = 6;
    });
    const found = await again(path, made.model);
    expect(found.notes.join()).toMatch(/did not start from the noise of its seed/);
    expect(found.identical).toBe('no');
    expect(found.difference.max).toBeGreaterThan(0);
    expect(found.difference.differing).toBeGreaterThan(0);
    expect(found.difference.mean).toBeLessThanOrEqual(found.difference.max);
    const shown = await decodeImage(found.amplified!.png);
    expect(Math.max(...shown.data)).toBe(found.difference.max * found.amplified!.factor);
  });

  test('with an adapter needs that adapter, by its content', async () => {
    const hash = hashAdapter(made.adapter);
    const found = await again(made.adapted, made.model, new Map([[hash, made.adapter]]));
    expect(found.identical).toBe('file');
    await expect(again(made.adapted, made.model)).rejects.toMatchObject({
      code: 'reproduce/adapter-missing',
      message: expect.stringContaining('"style"'),
    });
  });

  test('by a model that changed says so', async () => {
    const found = await again(made.plain, made.other);
    expect(found.identical).toBe('no');
    expect(found.notes.join()).toMatch(/The model is another one.*"Tiny"/);
  });

  test('names another provider and another version', async () => {
    const path = edited('provider.png', (s) => {
      s.provider = 'webgpu';
      s.version = '0.0.1';
    });
    const found = await again(path, made.model);
    expect(found.identical).toBe('pixels');
    expect(found.notes.join()).toMatch(/made on webgpu.*Northlight 0\.0\.1/);
  });

  test('from another picture needs that picture, by its content', async () => {
    const path = join(folder, 'started.png');
    await makePicture(path, made.model, [], { picture: made.plain, strength: 0.5 });
    const hash = createHash('sha256').update(readFileSync(made.plain)).digest('hex');
    const pictureOf = (asked: string) => (asked === hash ? made.plain : null);
    const options = { picture: path, modelPath: made.model, adapters: new Map(), threads: 1 };
    expect(await reproducePicture({ ...options, pictureOf })).toMatchObject({ identical: 'file', notes: [] });
    await expect(reproducePicture(options)).rejects.toMatchObject({
      code: 'reproduce/start-missing',
      message: expect.stringContaining(hash.slice(0, 10)),
    });
  });

  test('without our settings is refused by name', async () => {
    const bare = edited('bare.png', (s) => {
      delete s.model;
    });
    await expect(again(bare, made.model)).rejects.toMatchObject({ code: 'reproduce/no-settings' });
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
