import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findFolder, openModelFolder } from '#models/families/index.ts';
import { IMAGE_FAMILIES, recogniseFamily } from '#models/families/recognise.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { sd1Files, TINY_FOLDERS, tinyFolder, writeFolder } from './tiny-folders.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-recognise-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const written = new Map<string, string>();
const folderOf = (name: string): string => {
  const known = written.get(name) ?? tinyFolder(name).write(join(root, name));
  written.set(name, known);
  return known;
};

/** A folder with `model_index.json` changed. */
function renamed(name: string, className: string | undefined): string {
  const folder = tinyFolder(name).write(join(root, `${name}-${className}`));
  const path = join(folder, 'model_index.json');
  const index = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...index, _class_name: className }));
  return folder;
}

describe('a family', () => {
  test.each([
    ['sd1', 'sd1', 30, 7.5],
    ['sd2', 'sd2', 30, 7.5],
    ['sdxl', 'sdxl', 30, 5],
    ['sd-turbo', 'turbo', 1, 0],
    ['sdxl-turbo', 'turbo', 1, 0],
    ['lcm', 'lcm', 4, 8.5],
    ['sd3', 'sd3', 28, 7],
    ['flux-dev', 'flux', 28, 3.5],
    ['flux-schnell', 'flux', 4, 0],
    ['pixart-alpha', 'dit', 20, 4.5],
    ['dit-classes', 'dit', 20, 4],
  ] as const)(
    'is known by the signature of %s as %s, and brings its own steps and guidance',
    (name, family, steps, guidanceScale) => {
      const { model } = openModelFolder(folderOf(name));
      expect(model.family).toBe(family);
      expect(model.defaults).toEqual({ steps, guidanceScale });
    },
  );

  test('needs no class name: renamed and nameless folders are what their graphs are', () => {
    for (const [name, family] of [
      ['sd1', 'sd1'],
      ['sdxl', 'sdxl'],
      ['flux-dev', 'flux'],
      ['sd3', 'sd3'],
      ['lcm', 'lcm'],
    ] as const) {
      for (const className of ['SomebodysOwnPipeline', undefined])
        expect(recogniseFamily(findFolder(renamed(name, className))).name).toBe(family);
    }
  });

  test('knows the class names of its own pipelines', () => {
    const classes = new Map([
      ['pixel-space', ['DDPMPipeline']],
      ['sd1', ['StableDiffusionPipeline', 'OnnxStableDiffusionPipeline', 'OnnxStableDiffusionInpaintPipeline']],
      ['sdxl', ['StableDiffusionXLPipeline', 'ORTStableDiffusionXLPipeline', 'StableDiffusionXLImg2ImgPipeline']],
      ['lcm', ['LatentConsistencyModelPipeline']],
      ['sd3', ['StableDiffusion3Pipeline']],
      ['flux', ['FluxPipeline']],
      ['dit', ['DiTPipeline', 'PixArtAlphaPipeline', 'PixArtSigmaPipeline']],
    ]);
    for (const [name, names] of classes) {
      const family = IMAGE_FAMILIES.find((f) => f.name === name)!;
      for (const className of names) expect([className, family.classNames.test(className)]).toEqual([className, true]);
    }
  });

  test('of samples that are pictures is not one of latents whose decoder was forgotten', () => {
    expect(openModelFolder(writeTinyModel(join(root, 'pixels'))).family).toBe('pixel-space');
    const forgotten = tinyFolder('sd1').write(join(root, 'forgotten'));
    const index = join(forgotten, 'model_index.json');
    writeFileSync(
      index,
      JSON.stringify({ _class_name: 'StableDiffusionPipeline', vae: ['diffusers', 'AutoencoderKL'] }),
    );
    rmSync(join(forgotten, 'vae_decoder'), { recursive: true });
    expect(() => openModelFolder(forgotten)).toThrow(
      expect.objectContaining({
        code: 'model/missing-file',
        message: expect.stringMatching(/vae_decoder\/model\.onnx/),
      }),
    );
  });

  test('of latents is known without decoder, configuration or a word about them in the index, and misses its decoder', () => {
    const bare = tinyFolder('sd1').write(join(root, 'bare'));
    writeFileSync(join(bare, 'model_index.json'), JSON.stringify({ _class_name: 'StableDiffusionPipeline' }));
    rmSync(join(bare, 'vae_decoder'), { recursive: true });
    rmSync(join(bare, 'unet', 'config.json'), { force: true });
    const unet = join(bare, 'unet', 'model.onnx');
    const model = readModel(unet);
    // As exporters write free axes.
    const inputs = model.graph.inputs.map((port) =>
      port.name === 'sample' ? { ...port, dims: ['batch', 'channels', 'height', 'width'] } : port,
    );
    writeFileSync(unet, encodeModel({ ...model, graph: { ...model.graph, inputs } }));
    expect(() => openModelFolder(bare)).toThrow(
      expect.objectContaining({
        code: 'model/missing-file',
        message: expect.stringMatching(/works on latents.*vae_decoder\/model\.onnx/),
        hint: expect.stringMatching(/\w/),
      }),
    );
  });

  test('is every one of those that folders are written for', () => {
    const tested = new Set(['pixel-space', ...TINY_FOLDERS.map((f) => f.family)]);
    expect(IMAGE_FAMILIES.map((f) => f.name).filter((name) => !tested.has(name))).toEqual([]);
  });
});

describe('what is missing is said by name:', () => {
  test.each([
    ['sdxl', 'text_encoder_2/model.onnx', /text_encoder_2/],
    ['sdxl', 'text_encoder/model.onnx', /text_encoder\/model/],
    ['sd3', 'text_encoder_2/model.onnx', /text_encoder_2/],
    ['flux-dev', 'text_encoder_2/model.onnx', /text_encoder_2/],
    ['flux-dev', 'tokenizer_2/tokenizer.json', /tokenizer_2/],
    ['sd1', 'vae_decoder/model.onnx', /vae_decoder/],
    ['flux-dev', 'transformer/model.onnx', /transformer\/model\.onnx/],
    ['pixart-alpha', 'scheduler/scheduler_config.json', /scheduler_config/],
  ])('%s without %s', (name, file, text) => {
    const folder = tinyFolder(name).write(join(root, `${name}-without-${file.replaceAll('/', '-')}`));
    rmSync(join(folder, file));
    expect(() => openModelFolder(folder)).toThrow(
      expect.objectContaining({
        code: 'model/missing-file',
        message: expect.stringMatching(text),
        hint: expect.stringMatching(/\w/),
      }),
    );
  });

  test('hidden states of the text encoder, for a model that reads the last layer but one', () => {
    const files = tinyFolder('sdxl').write(join(root, 'no-hidden'));
    writeFolder(files, { 'text_encoder/model.onnx': sd1Files()['text_encoder/model.onnx']! });
    expect(() => openModelFolder(files)).toThrow(
      expect.objectContaining({ code: 'model/signature', hint: expect.stringMatching(/output_hidden_states/) }),
    );
  });
});

describe('a graph', () => {
  test('is found under the names and in the folders that converters use', () => {
    for (const at of [
      'unet/model_fp16.onnx',
      'unet/model_q4.onnx',
      'unet/onnx/model_quantized.onnx',
      'onnx/unet/model.onnx',
      'onnx/unet_fp16.onnx',
      'unet/anything.onnx',
    ]) {
      const files = sd1Files();
      const folder = writeFolder(join(root, at.replaceAll('/', '-')), { ...files, [at]: files['unet/model.onnx']! });
      rmSync(join(folder, 'unet', 'model.onnx'));
      expect(findFolder(folder).components.get('denoiser')!.path).toBe(join(folder, at));
      expect(openModelFolder(folder).family).toBe('sd1');
    }
  });

  test('in several precisions is taken in the plainest', () => {
    const files = sd1Files();
    const graph = files['unet/model.onnx']!;
    const folder = writeFolder(join(root, 'several'), {
      ...files,
      'unet/model_q4.onnx': graph,
      'unet/model_fp16.onnx': graph,
    });
    expect(findFolder(folder).components.get('denoiser')!.path).toBe(join(folder, 'unet', 'model.onnx'));
    rmSync(join(folder, 'unet', 'model.onnx'));
    expect(findFolder(folder).components.get('denoiser')!.path).toBe(join(folder, 'unet', 'model_fp16.onnx'));
  });

  test('of two without a known name is not guessed', () => {
    const files = sd1Files();
    const graph = files['unet/model.onnx']!;
    const folder = writeFolder(join(root, 'two'), { ...files, 'unet/a.onnx': graph, 'unet/b.onnx': graph });
    rmSync(join(folder, 'unet', 'model.onnx'));
    expect(() => findFolder(folder)).toThrow(
      expect.objectContaining({ code: 'model/graph-choice', message: expect.stringMatching(/a\.onnx, b\.onnx/) }),
    );
  });
});
