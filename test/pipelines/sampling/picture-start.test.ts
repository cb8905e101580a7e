import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { latentDims } from '#models/families/model-folder.ts';
import { Rng } from '#models/tensor/rng.ts';
import { encodePng, tensorToRgb } from '#pipelines/images/images.ts';
import { readPngText } from '#pipelines/images/png-text.ts';
import {
  type GenerateOptions,
  generatePictures,
  type Picture,
  type SamplingSettings,
} from '#pipelines/sampling/generate.ts';
import { readStart } from '#pipelines/sampling/initial-picture.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { TINY_FOLDERS, tinyFolder } from '#test/models/families/tiny-folders.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-start-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function opened<T>(name: string, use: (pipeline: ImagePipeline) => Promise<T>): Promise<T> {
  const folder = name === 'flora' ? writeTinyModel(join(root, name)) : tinyFolder(name).write(join(root, name));
  const pipeline = await loadPipeline(folder, { threads: 1 });
  try {
    return await use(pipeline);
  } finally {
    await pipeline.close();
  }
}

/** The model's own size where it is tiny. */
function sizeFor({ model }: ImagePipeline): { width: number; height: number } {
  const { width, height } = model.size;
  return width <= 16 ? { width, height } : { width: 64, height: 128 };
}

async function pictures(
  pipeline: ImagePipeline,
  change: Partial<SamplingSettings>,
  options: Partial<GenerateOptions> = {},
  count = 1,
): Promise<Picture[]> {
  const settings = {
    steps: 4,
    eta: 0,
    guidanceScale: pipeline.model.defaults.guidanceScale,
    negativePrompt: '',
    seed: 5,
    keepTrajectories: false,
    ...sizeFor(pipeline),
    ...change,
  };
  const requests = Array.from({ length: count }, (_, index) => ({ prompt: 'red cat', index, noiseIndex: index }));
  const all: Picture[] = [];
  for await (const p of generatePictures({ pipeline, settings, requests, ...options })) all.push(p);
  return all;
}

/** Pixels of every colour, the same each time, as a PNG; the mask marks a square of a third of the side in the middle. */
async function files(size: { width: number; height: number }) {
  const { width, height } = size;
  const rng = new Rng(8);
  const rgb = Uint8Array.from({ length: width * height * 3 }, () => rng.int(256));
  const inside = (p: number) => {
    const [x, y] = [(p % width) / width, Math.floor(p / width) / height];
    return x >= 1 / 3 && x < 2 / 3 && y >= 1 / 3 && y < 2 / 3;
  };
  const painted = Uint8Array.from({ length: rgb.length }, (_, i) => (inside(Math.floor(i / 3)) ? 255 : 0));
  const [picture, mask] = [await encodePng(rgb, width, height), await encodePng(painted, width, height)];
  return { rgb, picture, mask, marked: Array.from({ length: width * height }, (_, p) => inside(p)) };
}

const own = (p: Picture) => JSON.parse(readPngText(p.png).northlight!) as Record<string, unknown>;
/** One folder of each family, and the one for inpainting. */
const FOLDERS = [
  ...new Map(TINY_FOLDERS.filter((f) => !f.refused).map((f) => [f.family, f.name] as const)).values(),
  'inpainting',
  'flora',
];

describe('a picture to start from', () => {
  test.each(FOLDERS)('%s: at strength 0 is what encoder and decoder make of it', async (name) => {
    await opened(name, async (pipeline) => {
      const size = sizeFor(pipeline);
      const start = await readStart({ picture: (await files(size)).picture, strength: 0 }, size);
      const [made] = await pictures(pipeline, {}, { start });
      const encoder = await pipeline.encoder();
      const latent = encoder.latent(await encoder.encode(start.picture), new Rng(5).fork('noise', 0, 'encode'));
      const { data, width, height } = await pipeline.decode(latent, latentDims(pipeline.model, size));
      expect(made!.rgb).toEqual(tensorToRgb(data, width, height));
      expect(pipeline.calls.count).toBe(0);
    });
  });

  test.each(FOLDERS)('%s: at half strength makes half the steps, and follows picture and noise', async (name) => {
    await opened(name, async (pipeline) => {
      const size = sizeFor(pipeline);
      const { picture } = await files(size);
      const start = await readStart({ picture, strength: 0.5 }, size);
      let steps = 0;
      const onStep = ({ total }: { total: number }) => {
        steps = total;
      };
      const [made] = await pictures(pipeline, { scheduler: undefined }, { start, onStep });
      const [other] = await pictures(pipeline, { seed: 6 }, { start });
      expect(steps).toBeLessThanOrEqual(3);
      expect(steps).toBeGreaterThanOrEqual(2);
      expect(made!.sample.every(Number.isFinite)).toBe(true);
      expect(other!.hash).not.toBe(made!.hash);
      expect(own(made!)).toMatchObject({
        denoising: 0.5,
        start: { picture: createHash('sha256').update(picture).digest('hex'), mask: null },
      });
      expect(readPngText(made!.png).parameters).toContain('Denoising strength: 0.5');
    });
  });

  test('does not depend on how many are made at once', async () => {
    await opened('sd1', async (pipeline) => {
      const size = sizeFor(pipeline);
      const start = await readStart({ ...(await files(size)), strength: 0.7 }, size);
      const [one, three] = [
        await pictures(pipeline, {}, { start, batch: 1 }, 3),
        await pictures(pipeline, {}, { start, batch: 3 }, 3),
      ];
      expect(three.map((p) => p.hash)).toEqual(one.map((p) => p.hash));
      expect(new Set(one.map((p) => p.hash)).size).toBe(3);
    });
  });

  test('may be learned from, and says where it started; not when no step is left', async () => {
    await opened('flora', async (pipeline) => {
      const size = sizeFor(pipeline);
      const { picture, mask } = await files(size);
      const kept = { keepTrajectories: true, eta: 1, scheduler: 'ddim' } as const;
      const start = await readStart({ picture, strength: 0.5 }, size);
      const [made] = await pictures(pipeline, kept, { start });
      expect(made!.trajectory!.data.logProbs.length).toBe(2);
      expect(made!.trajectory!.origin.start).toEqual({ picture: start.pictureHash, mask: null, strength: 0.5 });
      const none = await readStart({ picture, strength: 0.1 }, size);
      await expect(pictures(pipeline, kept, { start: none })).rejects.toMatchObject({ code: 'sampling/strength' });
      const masked = await readStart({ picture, mask, strength: 1 }, size);
      await expect(pictures(pipeline, kept, { start: masked })).rejects.toMatchObject({ code: 'sampling/no-log-prob' });
    });
  });

  test('needs an encoder where samples are latents', async () => {
    const folder = tinyFolder('sd1').write(join(root, 'no-encoder'));
    rmSync(join(folder, 'vae_encoder'), { recursive: true });
    const pipeline = await loadPipeline(folder, { threads: 1 });
    const size = sizeFor(pipeline);
    const start = await readStart({ ...(await files(size)), strength: 0.5 }, size);
    await expect(pictures(pipeline, {}, { start })).rejects.toMatchObject({ code: 'sampling/no-encoder' });
    await pipeline.close();
  });
});

describe('with a mask', () => {
  test.each(FOLDERS)('%s: pixels outside it and its border are those of the picture, inside are new', async (name) => {
    await opened(name, async (pipeline) => {
      const size = sizeFor(pipeline);
      const { width, height } = size;
      const { rgb, picture, mask, marked } = await files(size);
      const start = await readStart({ picture, mask, strength: 1 }, size);
      const [made] = await pictures(pipeline, {}, { start });
      const border = pipeline.model.vae ? pipeline.model.vae.scaleFactor : 0;
      let [same, wrong, inside, changed] = [0, 0, 0, 0];
      // The mark is a rectangle: the distance to it is that along columns and along rows.
      const xs = marked.flatMap((m, p) => (m ? [p % width] : []));
      const ys = marked.flatMap((m, p) => (m ? [Math.floor(p / width)] : []));
      const away = (v: number, all: readonly number[]) => Math.max(0, all[0]! - v, v - all.at(-1)!);
      for (let p = 0; p < width * height; p++) {
        const distance = away(p % width, xs) + away(Math.floor(p / width), ys);
        const equal = [0, 1, 2].every((c) => made!.rgb[3 * p + c] === rgb[3 * p + c]);
        if (distance > border) same++;
        if (distance > border && !equal) wrong++;
        if (distance === 0) inside++;
        if (distance === 0 && !equal) changed++;
      }
      expect(wrong).toBe(0);
      expect(same).toBeGreaterThan(0);
      expect(changed).toBeGreaterThan(0.9 * inside);
      expect(own(made!)).toMatchObject({ denoising: 1, start: { mask: start.maskHash } });
    });
  });

  test('an ordinary model keeps unmarked latents exactly', async () => {
    await opened('sd1', async (pipeline) => {
      const size = sizeFor(pipeline);
      const { picture, mask } = await files(size);
      const start = await readStart({ picture, mask, strength: 1 }, size);
      const [made] = await pictures(pipeline, {}, { start });
      const encoder = await pipeline.encoder();
      const latent = encoder.latent(await encoder.encode(start.picture), new Rng(5).fork('noise', 0, 'encode'));
      const kept = made!.sample.filter((v, i) => v === latent[i]).length;
      // 5×5 marked pixels of 16×16 touch 3×3 or 4×4 latents of 8×8.
      expect(kept).toBeGreaterThanOrEqual(4 * (64 - 16));
      expect(kept).toBeLessThan(4 * 64);
    });
  });

  test('a model for inpainting is shown mask and hidden picture, and changes with what is around', async () => {
    await opened('inpainting', async (pipeline) => {
      expect(pipeline.model.denoiser.extraChannels).toBe(5);
      const size = sizeFor(pipeline);
      const { picture, mask } = await files(size);
      const start = await readStart({ picture, mask, strength: 1 }, size);
      const [made] = await pictures(pipeline, {}, { start });
      const inverted = { ...start, picture: { ...start.picture, data: start.picture.data.map((v) => -v) } };
      const [other] = await pictures(pipeline, {}, { start: inverted });
      expect(other!.sample).not.toEqual(made!.sample);
      // What lies under the mask is hidden from it.
      const size2 = size.width * size.height;
      const under = {
        ...start,
        picture: { ...start.picture, data: start.picture.data.map((v, i) => (start.mask![i % size2] ? -v : v)) },
      };
      const [same] = await pictures(pipeline, {}, { start: under });
      expect(same!.sample).toEqual(made!.sample);
    });
  });
});

test('decoding in tiles is written into the picture, and one tile is no tile', async () => {
  await opened('sd1', async (pipeline) => {
    const size = { width: 64, height: 128 };
    const [whole] = await pictures(pipeline, size);
    const [tiled] = await pictures(pipeline, { ...size, tile: 32 });
    const [large] = await pictures(pipeline, { ...size, tile: 512 });
    expect(own(tiled!).tile).toBe(32);
    expect(own(whole!)).not.toHaveProperty('tile');
    expect(large!.hash).toBe(whole!.hash);
    // The tiny decoder looks at one latent at a time.
    const furthest = tiled!.rgb.reduce((most, v, i) => Math.max(most, Math.abs(v - whole!.rgb[i]!)), 0);
    expect(furthest).toBeLessThanOrEqual(1);
  });
});
