import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { generatePictures, type Picture, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { TINY_FOLDERS, tinyFolder } from '#test/models/families/tiny-folders.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-families-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const settingsOf = (pipeline: ImagePipeline, change: Partial<SamplingSettings> = {}): SamplingSettings => ({
  steps: 3,
  eta: 0,
  guidanceScale: pipeline.model.defaults.guidanceScale,
  negativePrompt: '',
  seed: 5,
  keepTrajectories: false,
  ...change,
});

async function sample(
  pipeline: ImagePipeline,
  change: Partial<SamplingSettings> = {},
  prompt = 'red cat',
): Promise<Picture> {
  const requests = [{ prompt, index: 0, noiseIndex: 0 }];
  for await (const p of generatePictures({ pipeline, settings: settingsOf(pipeline, change), requests })) return p;
  throw new Error('no picture');
}

async function opened<T>(name: string, use: (pipeline: ImagePipeline) => Promise<T>): Promise<T> {
  const pipeline = await loadPipeline(tinyFolder(name).write(join(root, name)), { threads: 1 });
  try {
    return await use(pipeline);
  } finally {
    await pipeline.close();
  }
}

describe('a folder of the kind', () => {
  test.each(TINY_FOLDERS.filter((f) => !f.refused).map((f) => [f.name, f.family] as const))(
    '%s is recognised as %s and makes a finite picture that follows the prompt',
    async (name, family) => {
      await opened(name, async (pipeline) => {
        expect(pipeline.folder.family).toBe(family);
        const extra = pipeline.model.denoiser.extraChannels;
        if (extra > 0) {
          await expect(sample(pipeline)).rejects.toMatchObject({ code: 'model/extra-channels' });
          return;
        }
        const { side = 16 } = tinyFolder(name);
        expect(pipeline.model.size).toMatchObject({ width: side, height: side });
        const size = side === 16 ? {} : { width: 64, height: 128 };
        const picture = await sample(pipeline, size);
        expect([picture.width, picture.height]).toEqual([size.width ?? 16, size.height ?? 16]);
        expect(picture.sample.every(Number.isFinite)).toBe(true);
        expect(new Set(picture.rgb).size).toBeGreaterThan(8);
        const other = await sample(pipeline, size, 'the old blue house, very small');
        expect(other.hash).not.toBe(picture.hash);
      });
    },
  );

  test.each(TINY_FOLDERS.filter((f) => f.refused).map((f) => [f.name, f.refused!] as const))(
    '%s is refused: %s',
    (name, code) => {
      const folder = tinyFolder(name).write(join(root, name));
      expect(() => openModelFolder(folder)).toThrow(
        expect.objectContaining({ code, hint: expect.stringMatching(/\w/) }),
      );
    },
  );
});
