import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { readPngChunks, readPngText } from '#pipelines/images/png-text.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { type PictureOrigin, settingsText } from '#pipelines/sampling/settings-text.ts';
import { parseSchedulerConfig, SAMPLERS } from '#pipelines/schedulers/index.ts';
import { plainA1111 } from '#test/pipelines/images/settings/plain-a1111.ts';

const config = parseSchedulerConfig({});
const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/);

/** Words as people write them: any script, several lines, commas, colons, quotes, brackets; no settings of their own. */
const prompt = fc
  .array(fc.string({ unit: fc.oneof(fc.constantFrom(...'abc ,:()"\\<>=é漢🌷'), fc.string({ unit: 'grapheme' })) }), {
    maxLength: 3,
  })
  .map((lines) => lines.join('\n'))
  .filter((text) => text === text.trim() && !/[\0\r]/.test(text) && !/^Negative prompt:/m.test(text));

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter((s) => s === s.trim());

const origin: fc.Arbitrary<PictureOrigin> = fc.record({
  model: fc.record({ name, hash: hex64 }),
  adapters: fc.array(
    fc.record({
      name: fc.stringMatching(/^[\w .-]{1,20}$/).map((s) => s.trim() || 'a'),
      hash: hex64,
      weight: fc.double({ min: -2, max: 2, noNaN: true }).map((w) => (Object.is(w, -0) ? 0 : w)),
    }),
    { maxLength: 3 },
  ),
  prompt,
  negativePrompt: prompt,
  seed: fc.nat(),
  index: fc.nat(511),
  noiseIndex: fc.nat(511),
  startHash: hex64,
  scheduler: fc.constantFrom(...SAMPLERS),
  schedulerConfig: fc.constantFrom(config, parseSchedulerConfig({ use_karras_sigmas: true })),
  steps: fc.integer({ min: 1, max: 1000 }),
  eta: fc.double({ min: 0, max: 1, noNaN: true }).map(Math.abs),
  guidanceScale: fc.double({ min: 0, max: 30, noNaN: true }).map(Math.abs),
  keepTrajectories: fc.boolean(),
  width: fc.integer({ min: 1, max: 4096 }),
  height: fc.integer({ min: 1, max: 4096 }),
  clipSkip: fc.integer({ min: 1, max: 12 }),
  denoising: fc.constantFrom(null, 0.5),
  provider: fc.constant('cpu'),
});

/** Names of A1111's own samplers. */
const FOREIGN: Record<string, string> = {
  ddim: 'DDIM',
  ddpm: 'DDPM',
  pndm: 'PLMS',
  euler: 'Euler',
  'euler-ancestral': 'Euler a',
  heun: 'Heun',
  'dpm-solver-multistep': 'DPM++ 2M',
  unipc: 'UniPC',
  lcm: 'LCM',
  'flow-match-euler': 'Euler',
};

const pixel = (text: Record<string, string>) => encodePng(Uint8Array.of(1, 2, 3), 1, 1, text);

describe('the texts of a picture', () => {
  test.prop([origin], { numRuns: 200 })('are read by a plain A1111 parser byte for byte', async (o) => {
    const { parameters = '' } = readPngText(await pixel(settingsText(o)));
    const { prompt: readPrompt, negative, settings } = plainA1111(parameters);
    expect(readPrompt).toBe(o.prompt);
    expect(negative).toBe(o.negativePrompt);
    const expected: Record<string, string> = {
      Steps: String(o.steps),
      Sampler: FOREIGN[o.scheduler] ?? o.scheduler,
      'Schedule type': o.schedulerConfig.use_karras_sigmas ? 'Karras' : 'Automatic',
      'CFG scale': String(o.guidanceScale),
      Seed: String(o.seed),
      Size: `${o.width}x${o.height}`,
      'Model hash': o.model.hash.slice(0, 10),
      Model: o.model.name,
      RNG: 'Northlight',
    };
    if (o.clipSkip !== 1) expected['Clip skip'] = String(o.clipSkip);
    if (o.adapters.length > 0)
      expected['Lora hashes'] = o.adapters.map((a) => `${a.name}: ${a.hash.slice(0, 10)}`).join(', ');
    expect(settings).toMatchObject(expected);
    expect(Object.keys(settings).at(-1)).toBe('Version');
    const known = Object.keys(settings).filter((key) => key in expected);
    const order = 'Steps,Sampler,Schedule type,CFG scale,Seed,Size,Model hash,Model,Clip skip,RNG,Lora hashes'.split(
      ',',
    );
    expect(known).toEqual(order.filter((key) => key in expected));
  });

  test.prop([origin])('come back as they were, from the JSON', async (o) => {
    const found = await readPictureSettings(await pixel(settingsText(o)));
    const { schedulerConfig: _config, ...rest } = o;
    expect(found).toMatchObject({ source: 'northlight', own: rest, sampler: o.scheduler, loras: o.adapters });
  });

  test.prop([origin])('come back from the A1111 text alone, as far as it goes', async (o) => {
    const found = await readPictureSettings(await pixel({ parameters: settingsText(o).parameters }));
    expect(found).toMatchObject({
      source: 'a1111',
      ...{ prompt: o.prompt, negativePrompt: o.negativePrompt, steps: o.steps, seed: o.seed },
      ...{ guidanceScale: o.guidanceScale, width: o.width, height: o.height, modelName: o.model.name },
      clipSkip: o.clipSkip === 1 ? null : o.clipSkip,
      denoising: o.denoising,
    });
  });

  const plain: PictureOrigin = {
    model: { name: 'Flora', hash: 'ab'.repeat(32) },
    adapters: [],
    prompt: 'a red tulip',
    negativePrompt: '',
    ...{ seed: 7, index: 0, noiseIndex: 0, startHash: '0'.repeat(64), scheduler: 'dpm-solver-multistep' },
    ...{ schedulerConfig: config, steps: 20, eta: 0, guidanceScale: 3, keepTrajectories: false },
    ...{ width: 64, height: 64, clipSkip: 1, denoising: null, provider: 'cpu' },
  };

  test('are Latin-1 where they can be, else UTF-8', async () => {
    const types = async (o: PictureOrigin) =>
      readPngChunks(await pixel({ parameters: settingsText(o).parameters })).map((chunk) => chunk.type);
    expect(await types(plain)).toContain('tEXt');
    expect(await types({ ...plain, prompt: 'eine Blüte' })).toContain('tEXt');
    expect(await types({ ...plain, prompt: '花' })).toContain('iTXt');
  });

  test('read as A1111 writes its own', () => {
    const text = settingsText({
      ...plain,
      negativePrompt: 'blurry',
      model: { name: 'a, b: c', hash: 'cd'.repeat(32) },
    });
    expect(text.parameters.split('\n').slice(0, 2)).toEqual(['a red tulip', 'Negative prompt: blurry']);
    expect(text.parameters).toContain(
      'Steps: 20, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 3, Seed: 7, Size: 64x64, ' +
        'Model hash: cdcdcdcdcd, Model: "a, b: c", RNG: Northlight',
    );
  });

  test('survive a prompt that no text chunk can hold', async () => {
    const text = settingsText({ ...plain, prompt: 'a\0b \ud800' });
    expect((await readPictureSettings(await pixel(text)))?.prompt).toContain('a');
  });
});
