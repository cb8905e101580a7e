import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { EncodedText, ImageModel } from '#models/families/family.ts';
import { guidanceEmbedding } from '#models/families/guidance-embedding.ts';
import { openModelFolder } from '#models/families/index.ts';
import { imagePositions, packLatents, unpackLatents } from '#models/families/pack.ts';
import { f32, numel } from '#models/tensor/tensor.ts';
import { fluxFiles, sdxlFiles, tinyFolder, writeFolder } from './tiny-folders.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-conditions-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const modelOf = (name: string): ImageModel => openModelFolder(tinyFolder(name).write(join(root, name))).model;
const request = { width: 48, height: 32, guidanceScale: 5 };

/** A text of two tokens whose vectors are `of`, `of + 0.5`, and so on. */
const text = (of: number, width: number, pooled: number, tokens = 2): EncodedText => ({
  hidden: f32(
    [tokens, width],
    Float32Array.from({ length: tokens * width }, (_, i) => of + i / (2 * width)),
  ),
  pooled: f32([pooled], new Float32Array(pooled).fill(of)),
  mask: f32([tokens], new Float32Array(tokens).fill(1)),
});

describe('the guidance embedding', () => {
  test('of scale 1 is that of w = 0: sines 0, cosines 1', () => {
    expect([...guidanceEmbedding(1, 8).data]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  });

  test('of scale 1.0025 and width 4 has the sines and cosines of 2.5 and 2.5/10000', () => {
    const [s0, s1, c0, c1] = guidanceEmbedding(1.0025, 4).data;
    // sin 2.5, sin 0.00025, cos 2.5, cos 0.00025
    expect(s0).toBeCloseTo(0.598472, 5);
    expect(s1).toBeCloseTo(0.00025, 8);
    expect(c0).toBeCloseTo(-0.801144, 5);
    expect(c1).toBeCloseTo(1, 6);
  });
});

describe('SDXL', () => {
  test('is told original height and width, crop top and left, target height and width, in this order', () => {
    const ids = modelOf('sdxl').constants(request, 'prompt').get('time_ids');
    expect([...ids!.data]).toEqual([32, 48, 0, 0, 32, 48]);
  });

  test('as a refiner is told an aesthetic score in place of the target, a low one for what to avoid', () => {
    const model = modelOf('sdxl-refiner');
    expect([...model.constants(request, 'prompt').get('time_ids')!.data]).toEqual([32, 48, 0, 0, 6]);
    expect([...model.constants(request, 'negative').get('time_ids')!.data]).toEqual([32, 48, 0, 0, 2.5]);
    expect(model.text.map((part) => part.component.role)).toEqual(['text_encoder_2']);
  });

  test('reads both encoders side by side, second-last layers, and the second one pooled', () => {
    const model = modelOf('sdxl');
    expect(model.text.map((part) => part.hidden)).toEqual(['hidden_states.1', 'hidden_states.1']);
    expect(model.text.map((part) => part.pooled)).toEqual([null, 'text_embeds']);
    const feeds = model.condition([text(1, 2, 1), text(5, 1, 3)], 'a cat', 'prompt');
    expect([...feeds.get('encoder_hidden_states')!.data]).toEqual([1, 1.25, 5, 1.5, 1.75, 5.5]);
    expect([...feeds.get('text_embeds')!.data]).toEqual([5, 5, 5]);
  });

  test('avoids nothing at all where nothing is to be avoided, if the folder says so', () => {
    const encoded = [text(1, 2, 1), text(5, 1, 3)];
    const asks = writeFolder(join(root, 'no-zeros'), sdxlFiles({ index: { force_zeros_for_empty_prompt: false } }));
    const sum = (model: ImageModel, prompt: string) =>
      model
        .condition(encoded, prompt, 'negative')
        .get('text_embeds')!
        .data.reduce((a, b) => a + b, 0);
    expect(sum(modelOf('sdxl'), '')).toBe(0);
    expect(sum(modelOf('sdxl'), 'blurry')).toBe(15);
    expect(sum(openModelFolder(asks).model, '')).toBe(15);
  });
});

describe('Flux', () => {
  test('packs 2×2 patches: channel by channel, each in rows, the patches in rows', () => {
    // Two channels of 2×4: 0…7 and 10…17.
    const latent = Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17]);
    expect([...packLatents(latent, [2, 2, 4])]).toEqual([0, 1, 4, 5, 10, 11, 14, 15, 2, 3, 6, 7, 12, 13, 16, 17]);
  });

  test.each([
    [1, 2, 2],
    [4, 6, 8],
    [16, 4, 10],
  ] as const)('unpacking undoes packing: %i channels of %i×%i', (...dims) => {
    const latent = Float32Array.from({ length: numel(dims) }, (_, i) => i);
    expect(unpackLatents(packLatents(latent, dims), dims)).toEqual(latent);
    expect(packLatents(latent, dims)).not.toEqual(dims[1] * dims[2] > 4 ? latent : null);
  });

  test('says where each patch stands: nothing, row, column', () => {
    const positions = imagePositions(4, 6);
    expect(positions.dims).toEqual([6, 3]);
    expect([...positions.data]).toEqual([0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 1, 1, 0, 1, 2]);
  });

  test('is told the guidance scale where it was distilled with it, and has its defaults from that', () => {
    const [dev, schnell] = [modelOf('flux-dev'), modelOf('flux-schnell')];
    expect(dev.constants({ ...request, guidanceScale: 3.5 }, 'prompt').get('guidance')).toEqual(f32([], [3.5]));
    expect(schnell.constants(request, 'prompt').has('guidance')).toBe(false);
    expect([dev.defaults.steps, schnell.defaults.steps]).toEqual([28, 4]);
    expect(dev.denoiser.timestepScale).toBe(0.001);
    expect(dev.constants(request, 'prompt').get('img_ids')!.dims).toEqual([(16 * 24) / 4, 3]);
  });

  test('that also wants a picture is refused', () => {
    const folder = writeFolder(join(root, 'flux-fill'), fluxFiles({ fill: true }));
    expect(() => openModelFolder(folder)).toThrow(
      expect.objectContaining({ code: 'model/unknown-input', message: expect.stringMatching(/picture or a mask/) }),
    );
  });
});

describe('Stable Diffusion 3', () => {
  test('reads both CLIP texts side by side, filled up with zeros, then T5', () => {
    const model = modelOf('sd3');
    const feeds = model.condition([text(1, 6, 6), text(2, 8, 8), text(3, 20, 1, 3)], 'a cat', 'prompt');
    const context = feeds.get('encoder_hidden_states')!;
    expect(context.dims).toEqual([5, 20]);
    expect(context.data.subarray(14, 20).every((v) => v === 0)).toBe(true);
    expect([context.data[0], context.data[6], context.data[40]]).toEqual([1, 2, 3]);
    expect([...feeds.get('pooled_projections')!.data]).toEqual([...Array(6).fill(1), ...Array(8).fill(2)]);
  });

  test('without T5 has zeros in its place, as many as CLIP has tokens', () => {
    const model = modelOf('sd3-no-t5');
    expect(model.text).toHaveLength(2);
    const tokens = model.text[0]!.tokens;
    const context = model
      .condition([text(1, 6, 6, tokens), text(2, 8, 8, tokens)], 'a cat', 'prompt')
      .get('encoder_hidden_states')!;
    expect(context.dims).toEqual([2 * tokens, 20]);
    expect(context.data.subarray(20 * tokens).every((v) => v === 0)).toBe(true);
  });
});

describe('a model of classes', () => {
  const label = (prompt: string) => modelOf('dit-classes').condition([], prompt, 'prompt').get('class_labels')!.data[0];

  test('takes a class by number, by name, or by one of its names; nothing means any', () => {
    expect(label('2')).toBe(2);
    expect(label('Tree')).toBe(2);
    expect(label('kitty')).toBe(0);
    expect(label('red cat, kitty')).toBe(0);
    expect(label('')).toBe(3);
  });

  test('refuses what is no class, and says which there are', () => {
    for (const wrong of ['dog', '3', '-1', '1.5']) {
      expect(() => label(wrong)).toThrow(
        expect.objectContaining({ code: 'model/class', hint: expect.stringMatching(/0 to 2/) }),
      );
    }
  });
});

describe('a transformer told the size', () => {
  test('reads height before width, and their ratio', () => {
    const constants = modelOf('pixart-alpha').constants(request, 'prompt');
    expect([...constants.get('resolution')!.data]).toEqual([32, 48]);
    expect(constants.get('aspect_ratio')!.data[0]).toBeCloseTo(32 / 48, 6);
    expect(modelOf('pixart-sigma').constants(request, 'prompt').size).toBe(0);
  });
});

test('latents are scaled as the configuration says, and else as the family does', () => {
  expect(modelOf('sdxl').vae).toMatchObject({ scalingFactor: 0.13025, shiftFactor: 0, scaleFactor: 2 });
  expect(modelOf('flux-dev').vae).toMatchObject({ scalingFactor: 0.3611, shiftFactor: 0.1159 });
  const without = (name: 'sd1' | 'sdxl' | 'sd3' | 'flux-dev') => {
    const folder = tinyFolder(name).write(join(root, `bare-${name}`));
    rmSync(join(folder, 'vae_decoder', 'config.json'));
    return openModelFolder(folder).model.vae;
  };
  expect(without('sd1')).toMatchObject({ scalingFactor: 0.18215, shiftFactor: 0, scaleFactor: 8 });
  expect(without('sdxl')).toMatchObject({ scalingFactor: 0.13025, shiftFactor: 0 });
  expect(without('sd3')).toMatchObject({ scalingFactor: 1.5305, shiftFactor: 0.0609 });
  expect(without('flux-dev')).toMatchObject({ scalingFactor: 0.3611, shiftFactor: 0.1159 });
});
