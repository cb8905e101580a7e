import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { readModel } from '#models/onnx/read.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { modulesOf } from '#models/training/lora-file.ts';
import { writeLora } from '#models/training/lora-formats/write.ts';
import { generatePictures, type Picture, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import { type ImagePipeline, loadPipeline, type PromptCondition } from '#pipelines/sampling/pipeline.ts';
import { TINY_FOLDERS, tinyFolder } from '#test/models/families/tiny-folders.ts';
import { randomLora } from '#test/models/training/lora-network.ts';

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

describe('how an export declares the same network', () => {
  const SAME = [
    'timestep-int64-batch',
    'timestep-int64-scalar',
    'timestep-int32-batch',
    'timestep-float32-batch',
    'timestep-float32-one',
    'timestep-float16-scalar',
    'baked',
    'baked-batch-2',
    'old-diffusers',
    'onnx-community',
    'only-graph',
    'renamed-class',
  ];
  const far = (a: Float32Array, b: Float32Array) => a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);
  const plain = () => opened('sd1', (p) => sample(p));

  test('changes nothing: types and ranks of the timestep, fixed sizes, layouts', async () => {
    const { sample: wanted } = await plain();
    for (const name of SAME) {
      // Samples are some ten units large after three steps of guidance 7.5.
      expect([name, far((await opened(name, (p) => sample(p))).sample, wanted) < 1e-4]).toEqual([name, true]);
    }
  });

  test('in 16 bits changes little', async () => {
    const { sample: wanted } = await plain();
    const scale = wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    for (const name of ['float16', 'float16-weights']) {
      const distance = far((await opened(name, (p) => sample(p))).sample, wanted);
      expect(distance).toBeGreaterThan(0);
      // 11 bits, three steps, amplified by guidance.
      expect(distance).toBeLessThan(0.02 * scale);
    }
  });
});

describe('each sample', () => {
  test.each(['sd1', 'sdxl', 'sd3', 'flux-dev', 'pixart-alpha', 'baked-batch-2'])(
    'of %s is the same in any batch',
    async (name) => {
      await opened(name, async (pipeline) => {
        const requests = ['red cat', 'the old blue house, very small', 'tree'].map((prompt, index) => ({
          prompt,
          index,
          noiseIndex: index,
        }));
        const hashes = async (batch: number) => {
          const all: string[] = [];
          for await (const p of generatePictures({ pipeline, settings: settingsOf(pipeline), requests, batch }))
            all.push(p.hash);
          return all;
        };
        const one = await hashes(1);
        expect(await hashes(3)).toEqual(one);
        expect(new Set(one).size).toBe(3);
      });
    },
  );
});

describe('guidance', () => {
  test.each([
    ['sd1', 7.5, 2],
    ['sd1', 1, 1],
    ['sd-turbo', 0, 1],
    ['sd-turbo', 1, 1],
    ['sd-turbo', 2, 2],
    ['sdxl-turbo', 0, 1],
    ['lcm', 8.5, 1],
    ['flux-dev', 3.5, 1],
    ['flux-schnell', 0, 1],
    ['sd3', 7, 2],
    ['dit-classes', 4, 2],
  ] as const)('of %s at scale %d asks the network %i times a step', async (name, guidanceScale, calls) => {
    await opened(name, async (pipeline) => {
      await sample(pipeline, { guidanceScale, steps: 2 });
      expect(pipeline.calls.count).toBe(2 * calls);
    });
  });

  test('that is an input changes the picture without a second run', async () => {
    for (const name of ['lcm', 'flux-dev']) {
      await opened(name, async (pipeline) => {
        const hashes = [];
        for (const guidanceScale of [2, 6]) hashes.push((await sample(pipeline, { guidanceScale })).hash);
        expect(hashes[0]).not.toBe(hashes[1]);
      });
    }
  });

  test('follows what to avoid, except where there is one branch', async () => {
    const differs = (name: string) =>
      opened(name, async (pipeline) => {
        const plain = await sample(pipeline);
        return (await sample(pipeline, { negativePrompt: 'the old blue house' })).sample.some(
          (v, i) => v !== plain.sample[i],
        );
      });
    expect(await differs('sd1')).toBe(true);
    expect(await differs('sdxl')).toBe(true);
    expect(await differs('sd-turbo')).toBe(false);
    expect(await differs('lcm')).toBe(false);
  });
});

describe('the size', () => {
  test.each(['sd1', 'sdxl', 'flux-dev', 'sd3', 'dit-classes'])('of %s is free', async (name) => {
    await opened(name, async (pipeline) => {
      const picture = await sample(pipeline, { width: 24, height: 40 });
      expect([picture.width, picture.height, picture.rgb.length]).toEqual([24, 40, 24 * 40 * 3]);
      const { channels } = pipeline.model.denoiser;
      expect(picture.sample.length).toBe(channels * 12 * 20);
    });
  });

  test('is refused where it does not divide, with one that does', async () => {
    await opened('sd1', async (pipeline) => {
      await expect(sample(pipeline, { width: 18, height: 16 })).rejects.toMatchObject({
        code: 'sampling/size',
        hint: expect.stringMatching(/(16|20)x16/),
      });
    });
  });

  test('that the export fixed is refused any other', async () => {
    for (const name of ['baked', 'flux-baked']) {
      await opened(name, async (pipeline) => {
        await expect(sample(pipeline, { width: 24, height: 24 })).rejects.toMatchObject({
          code: 'sampling/size',
          message: expect.stringMatching(/16x16.*24x24/),
        });
      });
    }
  });

  test('shifts the schedule of a flow model that wants it', async () => {
    await opened('flux-dev', async (pipeline) => {
      const { scheduleOf } = await import('#pipelines/sampling/generate.ts');
      const first = (side: number) =>
        scheduleOf(pipeline, settingsOf(pipeline, { width: side, height: side, steps: 4 })).steps[2]!.timestep;
      expect(first(256)).toBeGreaterThan(first(16));
    });
  });
});

test('a long prompt takes several runs of the text encoder, and what to avoid as many', async () => {
  await opened('sd1', async (pipeline) => {
    const long = 'the old blue house, very small, in the sun, with big white dog, a green tree';
    const [condition] = await pipeline.encode([long], 'moon');
    const [prompt, negative] = [condition!.prompt, condition!.negative].map(
      (f) => f.get('encoder_hidden_states')!.dims,
    );
    expect(prompt![0]).toBeGreaterThan(12);
    expect(prompt![0]! % 12).toBe(0);
    expect(negative).toEqual(prompt);
    expect((await sample(pipeline, {}, long)).sample.every(Number.isFinite)).toBe(true);
  });
});

test('an inpainting network is given its mask and masked picture as further channels', async () => {
  await opened('inpainting', async (pipeline) => {
    const [condition] = await pipeline.encode(['red cat'], '');
    const x = new Float32Array(4 * 64).fill(0.3);
    const ask = (extraChannels: Float32Array) => pipeline.denoiser(1, { extraChannels }).predict(x, 500, [condition!]);
    const [none, some] = [await ask(new Float32Array(5 * 64)), await ask(new Float32Array(5 * 64).fill(1))];
    expect(none).toHaveLength(4 * 64);
    expect(none).not.toEqual(some);
    expect(() => pipeline.denoiser(1, { extraChannels: new Float32Array(64) })).toThrow(
      expect.objectContaining({ code: 'model/extra-channels' }),
    );
  });
});

describe('an adapter', () => {
  const scale = { rank: 1, alpha: 1 };
  const partOf = (pipeline: ImagePipeline, component: 'denoiser' | 'text_encoder' | 'text_encoder_2', seed: number) => {
    const path =
      component === 'denoiser' ? pipeline.folder.unetPath : pipeline.folder.found.components.get(component)!.path;
    const targets = findLoraTargets(readModel(path), 'all');
    return {
      targets,
      config: { ...scale, targets: 'all' as const },
      parameters: randomLora(targets, scale, seed),
      component,
    };
  };

  test('acts on every network that it has something for, and only there', async () => {
    const folder = tinyFolder('sdxl').write(join(root, 'sdxl-lora'));
    const bare = await loadPipeline(folder, { threads: 1 });
    const written = (name: string, components: ('denoiser' | 'text_encoder' | 'text_encoder_2')[]) => {
      const path = join(root, `${name}.safetensors`);
      const modules = components.flatMap((c) => modulesOf(partOf(bare, c, 1)));
      writeLora(path, { modules, metadata: new Map() });
      return path;
    };
    const seen = async (...adapters: string[]) => {
      const pipeline = await loadPipeline(folder, {
        threads: 1,
        adapters: adapters.map((path) => ({ path, weight: 1 })),
      });
      const [{ prompt }] = (await pipeline.encode(['red cat'], '')) as [PromptCondition];
      const { sample: picture } = await sample(pipeline);
      await pipeline.close();
      return {
        text: [...prompt.get('encoder_hidden_states')!.data],
        pooled: [...prompt.get('text_embeds')!.data],
        picture,
      };
    };
    const [plain, denoiser, second, both] = [
      await seen(),
      await seen(written('denoiser', ['denoiser'])),
      await seen(written('second', ['text_encoder_2'])),
      await seen(written('both', ['denoiser', 'text_encoder_2'])),
    ];
    await bare.close();
    expect(denoiser.text).toEqual(plain.text);
    expect(denoiser.picture).not.toEqual(plain.picture);
    expect(second.pooled).not.toEqual(plain.pooled);
    expect(second.picture).not.toEqual(plain.picture);
    expect(both.pooled).toEqual(second.pooled);
    expect(both.picture).not.toEqual(second.picture);
  });

  test('for networks that the model has not is refused', async () => {
    const folder = tinyFolder('sdxl').write(join(root, 'sdxl-lora'));
    const bare = await loadPipeline(folder, { threads: 1 });
    const path = join(root, 'stranger.safetensors');
    writeLora(path, { modules: modulesOf({ ...partOf(bare, 'text_encoder_2', 1) }), metadata: new Map() });
    await bare.close();
    const sd1 = tinyFolder('sd1').write(join(root, 'sd1-lora'));
    await expect(loadPipeline(sd1, { threads: 1, adapters: [{ path, weight: 1 }] })).rejects.toMatchObject({
      code: 'lora/no-match',
      message: expect.stringContaining('denoiser, text_encoder'),
    });
  });
});
