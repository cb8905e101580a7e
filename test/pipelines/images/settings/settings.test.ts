import { deflateSync } from 'node:zlib';
import { fc, test } from '@fast-check/vitest';
import sharp from 'sharp';
import { describe, expect } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { withPngText } from '#pipelines/images/png-text.ts';
import { a1111Pair, a1111Pairs, parseA1111 } from '#pipelines/images/settings/a1111.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { readSampler } from '#pipelines/images/settings/sampler-names.ts';
import {
  asciiComment,
  exifSegment,
  tiff,
  unicodeComment,
  withRiffChunks,
  withSegments,
  xmpSegment,
} from '#test/pipelines/images/exif-file.ts';
import { plainA1111 } from './plain-a1111.ts';

const pixel = await encodePng(Uint8Array.of(10, 20, 30), 1, 1);
const grey = sharp({ create: { width: 8, height: 8, channels: 3, background: '#888' } });
const jpeg = await grey.clone().jpeg().toBuffer();
const webp = await grey.clone().webp().toBuffer();

const png = (text: Record<string, string>) => withPngText(pixel, text);
const read = (text: Record<string, string>) => readPictureSettings(png(text));

/** As the web UI's own documentation shows it, with what extensions add. */
const A1111 = `a cat, (sitting:1.2) <lora:pets_v2:0.7>
on a wall, "quoted"
Negative prompt: blurry, low quality
second line
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 2964112874, Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Denoising strength: 0.55, Clip skip: 2, Hires upscale: 2, Lora hashes: "pets_v2: 1a2b3c4d5e6f", Tiling, Version: v1.10.1`;

describe('A1111 texts', () => {
  test('are split into prompt, negative prompt and settings by their rules', async () => {
    expect(await read({ parameters: A1111 })).toEqual({
      source: 'a1111',
      prompt: 'a cat, (sitting:1.2) <lora:pets_v2:0.7>\non a wall, "quoted"',
      negativePrompt: 'blurry, low quality\nsecond line',
      steps: 20,
      sampler: 'dpm-solver-multistep',
      samplerName: 'DPM++ 2M',
      schedule: 'Karras',
      guidanceScale: 7,
      seed: 2964112874,
      width: 512,
      height: 768,
      modelName: 'v1-5-pruned',
      modelHash: '6ce0161689',
      loras: [{ name: 'pets_v2', weight: 0.7, hash: '1a2b3c4d5e6f' }],
      clipSkip: 2,
      denoising: null,
      other: { 'Denoising strength': '0.55', 'Hires upscale': '2', Version: 'v1.10.1' },
      own: null,
    });
  });

  test('tell a strength where a picture was worked over, not where one was enlarged', async () => {
    const settings = 'p\nSteps: 20, Seed: 1, Size: 8x8, Denoising strength: 0.4';
    expect(await read({ parameters: `${settings}, Mask blur: 4` })).toMatchObject({ denoising: 0.4 });
    expect(await read({ parameters: `${settings}, Hires resize: 16x16` })).toMatchObject({ denoising: null });
  });

  test('of Forge tell what guidance Flux was told', async () => {
    const line =
      'Steps: 25, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 42, Size: 896x1152';
    expect(await read({ parameters: `a yellow coat\n${line}` })).toMatchObject({ guidanceScale: 3.5 });
  });

  test('with fewer than three pairs at the end are no settings', () => {
    expect(parseA1111('a cat\nSteps: 3, Seed: 1')).toBeNull();
    expect(parseA1111('a cat\nSteps: 3, Seed: 1, Size: 8x8')?.prompt).toBe('a cat');
    expect(parseA1111('Steps: 3, Seed: 1, Size: 8x8')?.prompt).toBe('');
    expect(parseA1111('')).toBeNull();
  });

  test('of older versions carry the noise schedule in the sampler’s name', () => {
    expect(readSampler('DPM++ 2M Karras')).toEqual({
      sampler: 'dpm-solver-multistep',
      samplerName: 'DPM++ 2M Karras',
      schedule: 'Karras',
    });
    expect(readSampler('DPM++ SDE Karras')).toMatchObject({ sampler: null, schedule: 'Karras' });
  });

  const line = fc.string({ unit: fc.constantFrom(...'ab1 :,"\\-/.é\t'), maxLength: 60 });
  test.prop([line], { numRuns: 2000 })('give the pairs that the published expression finds', (text) => {
    const found = [...text.matchAll(/\s*([\p{L}\p{N}_][\p{L}\p{N}_ \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/gu)];
    const unquoted = (value: string) => {
      try {
        return value.startsWith('"') && value.endsWith('"') ? (JSON.parse(value) as string) : value;
      } catch {
        return value;
      }
    };
    const expected = new Map(found.map(([, key, value]) => [key!.trimEnd(), unquoted(value!)]));
    expect(Object.fromEntries(a1111Pairs(text))).toEqual(Object.fromEntries(expected));
  });

  test.prop([fc.string({ unit: 'grapheme', maxLength: 40 })])('keep any value in a pair', (value) => {
    const text = `p\nAa: 1, Bb: 2, ${a1111Pair('Value', value)}, Cc: 3`;
    if (value !== 'Value') expect(parseA1111(text)?.pairs.get('Value')).toBe(value);
    if (value !== 'Value' && !/[\n\r]/.test(value)) expect(plainA1111(text).settings.Value).toBe(value);
  });

  test('of a hundred thousand letters are looked through in no time', () => {
    const started = performance.now();
    for (const text of ['a'.repeat(100_000), 'a:'.repeat(50_000), 'ab:"'.repeat(25_000), 'ab:"\\'.repeat(20_000)]) {
      a1111Pairs(text);
    }
    expect(performance.now() - started).toBeLessThan(500);
  });
});

describe('the places where programs put it', () => {
  const expectCat = async (file: Uint8Array) =>
    expect(await readPictureSettings(file)).toMatchObject({ source: 'a1111', seed: 2964112874, clipSkip: 2 });

  test.each([
    ['II', 'LE'],
    ['II', 'BE'],
    ['MM', 'LE'],
    ['MM', 'BE'],
  ] as const)('EXIF %s with a UTF-16 %s comment, in JPEG, WebP and PNG', async (order, encoding) => {
    const exif = unicodeComment(A1111, order, encoding);
    await expectCat(withSegments(jpeg, exifSegment(exif)));
    await expectCat(withRiffChunks(webp, ['EXIF', exif]));
    await expectCat(withRiffChunks(webp, ['EXIF', Buffer.concat([Buffer.from('Exif\0\0'), exif])]));
  });

  test('EXIF with an ASCII comment or a description', async () => {
    await expectCat(withSegments(jpeg, exifSegment(asciiComment(A1111, 'MM'))));
    const value = Buffer.from(`${A1111}\0`);
    await expectCat(
      withSegments(jpeg, exifSegment(tiff('II', [{ tag: 0x010e, type: 2, count: value.length, value }]))),
    );
  });

  test('the image library’s own EXIF, in JPEG, WebP and AVIF', async () => {
    const exif = { IFD0: { ImageDescription: A1111 } };
    await expectCat(await grey.clone().withExif(exif).jpeg().toBuffer());
    await expectCat(await grey.clone().withExif(exif).webp().toBuffer());
    await expectCat(await grey.clone().withExif(exif).avif({ effort: 0 }).toBuffer());
  });

  test('compressed and international text of PNG', async () => {
    const [header, ...rest] = [pixel.subarray(0, 33), pixel.subarray(33)];
    const chunk = (type: string, data: Buffer) => {
      const whole = withPngText(pixel, { x: 'y' });
      // Take a chunk of ours apart for its layout: length, type, data, checksum.
      expect(whole.toString('latin1', 37, 41)).toBe('tEXt');
      return rawChunk(type, data);
    };
    const packed = deflateSync(Buffer.from(A1111, 'latin1'));
    await expectCat(
      Buffer.concat([header!, chunk('zTXt', Buffer.concat([Buffer.from('parameters\0\0'), packed])), ...rest]),
    );
    const utf8 = deflateSync(Buffer.from(A1111, 'utf8'));
    await expectCat(
      Buffer.concat([header!, chunk('iTXt', Buffer.concat([Buffer.from('parameters\0\x01\0en\0p\0'), utf8])), ...rest]),
    );
  });

  test('a picture without any is null, and another kind of file is named', async () => {
    for (const file of [pixel, jpeg, webp]) expect(await readPictureSettings(file)).toBeNull();
    await expect(readPictureSettings(Buffer.from('GIF89a'))).rejects.toMatchObject({ code: 'picture/unknown-format' });
    await expect(readPictureSettings('no-such.png')).rejects.toMatchObject({ code: 'file/missing' });
  });
});

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c >>> 0;
});

function rawChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  let crc = 0xffffffff;
  for (const byte of body) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 255]!;
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE((crc ^ 0xffffffff) >>> 0, body.length + 4);
  return out;
}

describe('SwarmUI', () => {
  const text = JSON.stringify({
    sui_image_params: {
      prompt: 'a lighthouse',
      negativeprompt: 'people',
      model: 'OfficialStableDiffusion/sd_xl_base_1.0',
      seed: 1234,
      steps: 20,
      cfgscale: 7.5,
      aspectratio: '1:1',
      width: 1024,
      height: 1024,
      sampler: 'dpmpp_2m',
      scheduler: 'karras',
      clipstopatlayer: -2,
      loras: ['detail'],
      loraweights: ['0.8'],
      swarm_version: '0.9.6',
    },
    sui_extra_data: { date: '2025-01-01' },
    sui_models: [
      { name: 'OfficialStableDiffusion/sd_xl_base_1.0.safetensors', param: 'model', hash: '0x9f19b6bf' },
      { name: 'detail.safetensors', param: 'loras', hash: '0xabcd' },
    ],
  });
  test('is told by its JSON from an A1111 text under the same name', async () => {
    const expected = {
      source: 'swarmui',
      prompt: 'a lighthouse',
      negativePrompt: 'people',
      sampler: 'dpm-solver-multistep',
      schedule: 'karras',
      guidanceScale: 7.5,
      seed: 1234,
      clipSkip: 2,
      modelHash: '9f19b6bf',
      loras: [{ name: 'detail', weight: 0.8, hash: 'abcd' }],
      other: { aspectratio: '1:1', swarm_version: '0.9.6' },
    };
    expect(await read({ parameters: text })).toMatchObject(expected);
    const file = withSegments(jpeg, exifSegment(unicodeComment(text, 'II', 'LE')));
    expect(await readPictureSettings(file)).toMatchObject(expected);
  });
  test('of earlier versions names the sampler by its backend, and writes numbers as texts and lists with commas', async () => {
    const params = {
      ...{ prompt: 'p', comfyuisampler: 'dpmpp_2m', comfyuischeduler: 'karras', steps: '20', cfgscale: '1.0' },
      ...{ fluxguidancescale: '3.5', loras: 'a,b', loraweights: '1,0.5' },
    };
    expect(await read({ parameters: JSON.stringify({ sui_image_params: params }) })).toMatchObject({
      ...{ sampler: 'dpm-solver-multistep', schedule: 'karras', steps: 20, guidanceScale: 3.5 },
      loras: [
        { name: 'a', weight: 1 },
        { name: 'b', weight: 0.5 },
      ],
    });
  });
});

describe('InvokeAI', () => {
  const metadata = {
    generation_mode: 'txt2img',
    positive_prompt: 'a fox',
    negative_prompt: '',
    width: 512,
    height: 640,
    seed: 99,
    cfg_scale: 6.5,
    steps: 30,
    scheduler: 'dpmpp_2m_k',
    clip_skip: 1,
    model: { key: 'k', hash: 'blake3:00ff', name: 'Dreamy', base: 'sd-1', type: 'main' },
    loras: [{ model: { key: 'l', hash: 'blake3:11', name: 'ink', base: 'sd-1', type: 'lora' }, weight: 0.6 }],
    app_version: '5.4.0',
  };
  const expected = {
    source: 'invokeai',
    prompt: 'a fox',
    sampler: 'dpm-solver-multistep',
    schedule: 'Karras',
    seed: 99,
    width: 512,
    height: 640,
    clipSkip: 2,
    modelName: 'Dreamy',
    loras: [{ name: 'ink', weight: 0.6, hash: 'blake3:11' }],
  };
  test('writes its metadata, and in its graph the same again', async () => {
    expect(await read({ invokeai_metadata: JSON.stringify(metadata) })).toMatchObject(expected);
    const graph = { id: 'g', nodes: { n1: { type: 'noise' }, n2: { type: 'core_metadata', ...metadata } }, edges: [] };
    expect(await read({ invokeai_graph: JSON.stringify(graph) })).toMatchObject(expected);
  });
  test('tells what guidance Flux was told', async () => {
    const { cfg_scale: _, scheduler: __, ...rest } = metadata;
    const flux = { ...rest, generation_mode: 'flux_txt2img', guidance: 4 };
    expect(await read({ invokeai_metadata: JSON.stringify(flux) })).toMatchObject({ guidanceScale: 4, sampler: null });
  });
  test('of earlier versions names models another way', async () => {
    const older = {
      ...metadata,
      model: { model_name: 'sd', base_model: 'sd-1' },
      loras: [{ lora: { model_name: 'x' }, weight: 1 }],
    };
    expect(await read({ invokeai_metadata: JSON.stringify(older) })).toMatchObject({
      modelName: 'sd',
      loras: [{ name: 'x' }],
    });
  });
});

describe('Draw Things', () => {
  const json = {
    c: 'a <b> & "c"',
    uc: 'dark',
    model: 'sd_v1.5_f16.ckpt',
    sampler: 'Euler a',
    scale: 7,
    seed: 42,
    size: '512x704',
    steps: 25,
    strength: 1,
    lora: [{ model: 'ink.ckpt', weight: 0.5 }],
    v2: { clipSkip: 1 },
  };
  const escaped = JSON.stringify(json).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><exif:UserComment><rdf:Alt>
    <rdf:li xml:lang="x-default">${escaped}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>`;
  test('keeps its JSON in XMP, in PNG and JPEG', async () => {
    for (const file of [png({ 'XML:com.adobe.xmp': xmp }), withSegments(jpeg, xmpSegment(xmp))]) {
      expect(await readPictureSettings(file)).toMatchObject({
        source: 'draw-things',
        prompt: json.c,
        negativePrompt: 'dark',
        sampler: 'euler-ancestral',
        ...{ seed: 42, width: 512, height: 704, steps: 25, clipSkip: 1, loras: [{ name: 'ink.ckpt', weight: 0.5 }] },
        denoising: null,
      });
    }
  });
});

describe('ComfyUI', () => {
  const basic: Record<string, { class_type: string; inputs: Record<string, unknown> }> = {
    '3': {
      class_type: 'KSampler',
      inputs: {
        ...{
          seed: 156680208700286,
          steps: 20,
          cfg: 8,
          sampler_name: 'euler_ancestral',
          scheduler: 'normal',
          denoise: 1,
        },
        ...{ model: ['11', 0], positive: ['6', 0], negative: ['7', 0], latent_image: ['5', 0] },
      },
    },
    '4': { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'v1-5-pruned-emaonly.ckpt' } },
    '5': { class_type: 'EmptyLatentImage', inputs: { width: 512, height: 384, batch_size: 1 } },
    '6': { class_type: 'CLIPTextEncode', inputs: { text: 'a bottle', clip: ['12', 0] } },
    '7': { class_type: 'CLIPTextEncode', inputs: { text: 'text, watermark', clip: ['12', 0] } },
    '8': { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
    '9': { class_type: 'SaveImage', inputs: { filename_prefix: 'ComfyUI', images: ['8', 0] } },
    '10': {
      class_type: 'LoraLoader',
      inputs: { lora_name: 'a.safetensors', strength_model: 0.8, strength_clip: 1, model: ['4', 0], clip: ['4', 1] },
    },
    '11': {
      class_type: 'LoraLoaderModelOnly',
      inputs: { lora_name: 'b.safetensors', strength_model: 0.3, model: ['10', 0] },
    },
    '12': { class_type: 'CLIPSetLastLayer', inputs: { stop_at_clip_layer: -2, clip: ['10', 1] } },
  };
  const readGraph = (graph: unknown) => read({ prompt: JSON.stringify(graph), workflow: '{"nodes":[]}' });

  test('is walked from the sampler to texts, model, adapters and size', async () => {
    expect(await readGraph(basic)).toMatchObject({
      source: 'comfyui',
      prompt: 'a bottle',
      negativePrompt: 'text, watermark',
      steps: 20,
      sampler: 'euler-ancestral',
      schedule: 'normal',
      guidanceScale: 8,
      seed: 156680208700286,
      width: 512,
      height: 384,
      modelName: 'v1-5-pruned-emaonly.ckpt',
      loras: [
        { name: 'a.safetensors', weight: 0.8, hash: null },
        { name: 'b.safetensors', weight: 0.3, hash: null },
      ],
      clipSkip: 2,
      denoising: null,
    });
  });

  test('with a second pass is read at the first', async () => {
    const second = {
      ...basic,
      '20': { class_type: 'LatentUpscale', inputs: { width: 1024, height: 768, samples: ['3', 0] } },
      '21': {
        class_type: 'KSampler',
        inputs: { ...basic['3']!.inputs, seed: 1, steps: 8, denoise: 0.5, latent_image: ['20', 0] },
      },
      '8': { class_type: 'VAEDecode', inputs: { samples: ['21', 0], vae: ['4', 2] } },
    };
    expect(await readGraph(second)).toMatchObject({ steps: 20, width: 512, seed: 156680208700286 });
  });

  test('with numbers and texts in nodes of their own is followed there', async () => {
    const linked = {
      ...basic,
      '3': { class_type: 'KSampler', inputs: { ...basic['3']!.inputs, seed: ['30', 0], positive: ['31', 0] } },
      '30': { class_type: 'PrimitiveInt', inputs: { value: 7 } },
      '31': { class_type: 'ControlNetApply', inputs: { conditioning: ['6', 0], strength: 1, control_net: ['32', 0] } },
      '6': { class_type: 'CLIPTextEncode', inputs: { text: ['33', 0], clip: ['12', 0] } },
      '33': { class_type: 'StringConstant', inputs: { string: 'from elsewhere' } },
    };
    expect(await readGraph(linked)).toMatchObject({ seed: 7, prompt: 'from elsewhere' });
  });

  test('with guidance, noise and steps apart is put together', async () => {
    const flux = {
      '1': { class_type: 'UNETLoader', inputs: { unet_name: 'flux1-dev.safetensors', weight_dtype: 'default' } },
      '2': { class_type: 'DualCLIPLoader', inputs: { clip_name1: 't5.safetensors', clip_name2: 'l.safetensors' } },
      '3': { class_type: 'CLIPTextEncode', inputs: { text: 'an owl', clip: ['2', 0] } },
      '4': { class_type: 'FluxGuidance', inputs: { guidance: 3.5, conditioning: ['3', 0] } },
      '5': { class_type: 'BasicGuider', inputs: { model: ['1', 0], conditioning: ['4', 0] } },
      '6': { class_type: 'RandomNoise', inputs: { noise_seed: 5 } },
      '7': { class_type: 'KSamplerSelect', inputs: { sampler_name: 'euler' } },
      '8': { class_type: 'BasicScheduler', inputs: { scheduler: 'simple', steps: 24, denoise: 1, model: ['1', 0] } },
      '9': { class_type: 'EmptySD3LatentImage', inputs: { width: 1024, height: 1024, batch_size: 1 } },
      '10': {
        class_type: 'SamplerCustomAdvanced',
        inputs: { noise: ['6', 0], guider: ['5', 0], sampler: ['7', 0], sigmas: ['8', 0], latent_image: ['9', 0] },
      },
      '11': { class_type: 'SaveImage', inputs: { images: ['10', 0] } },
    };
    expect(await readGraph(flux)).toMatchObject({
      ...{ prompt: 'an owl', steps: 24, sampler: 'euler', schedule: 'simple', guidanceScale: 3.5, seed: 5 },
      ...{ width: 1024, modelName: 'flux1-dev.safetensors' },
    });
  });

  test('with a classifier-free scale of 1 tells the guidance that the model was told', async () => {
    const told = {
      ...basic,
      '3': { class_type: 'KSampler', inputs: { ...basic['3']!.inputs, cfg: 1 } },
      '6': {
        class_type: 'CLIPTextEncodeFlux',
        inputs: { clip_l: 'owl', t5xxl: 'an owl', guidance: 3.5, clip: ['12', 0] },
      },
    };
    expect(await readGraph(told)).toMatchObject({ guidanceScale: 3.5, prompt: 'an owl' });
  });

  test('keeps a seed of 64 bits as text, since no number here holds it', async () => {
    const text = JSON.stringify(basic).replace('156680208700286', '18446744073709551615');
    expect(await read({ prompt: text })).toMatchObject({ seed: null, other: { seed: '18446744073709551615' } });
  });

  test('in WebP is in the camera’s name', async () => {
    const value = Buffer.from(`prompt:${JSON.stringify(basic)}\0`);
    const exif = tiff('MM', [{ tag: 0x0110, type: 2, count: value.length, value }]);
    expect(await readPictureSettings(withRiffChunks(webp, ['EXIF', exif]))).toMatchObject({
      source: 'comfyui',
      steps: 20,
    });
  });

  const anyInput = fc.oneof(fc.jsonValue(), fc.tuple(fc.constantFrom('1', '2', '3'), fc.integer({ min: 0, max: 2 })));
  const anyKey = fc.constantFrom(
    ...'seed steps cfg positive negative model latent_image clip text width height lora_name'.split(' '),
  );
  const anyNode = fc.record({
    class_type: fc.constantFrom('KSampler', 'SamplerCustomAdvanced', 'SaveImage', 'CLIPTextEncode', 'Reroute'),
    inputs: fc.dictionary(anyKey, anyInput),
  });
  test.prop([fc.dictionary(fc.constantFrom('1', '2', '3'), anyNode)])(
    'with circles and nonsense is no danger',
    async (graph) => {
      const found = await readGraph(graph);
      expect(found === null || found.source === 'comfyui').toBe(true);
    },
  );
});
