import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  classIdOf,
  type GenerateSequencesOptions,
  generateSequences,
  loadSequencePipeline,
  type SequencePipeline,
  type SequenceSettings,
} from '#pipelines/sampling/generate-sequences.ts';
import type { SequencePipelineOptions } from '#pipelines/sampling/masked-pipeline.ts';
import { statesOf, TOY_A, type ToyOptions, writeToySequenceModel } from '#test/support/masked-toy.ts';
import { writeTinyMaskedModel, writeTinyOneHotModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-sequences-'));
const loaded: SequencePipeline[] = [];
afterAll(async () => {
  for (const pipeline of loaded) await pipeline.close();
  rmSync(root, { recursive: true });
});

const load = async (folder: string, options: SequencePipelineOptions = {}) => {
  const pipeline = await loadSequencePipeline(folder, { threads: 1, ...options });
  loaded.push(pipeline);
  return pipeline;
};
const masked = async (folder: string, options: SequencePipelineOptions = {}) => {
  const pipeline = await load(folder, options);
  if (!('start' in pipeline)) throw new Error('not masked');
  return pipeline;
};

const SETTINGS: SequenceSettings = { eta: 0, guidanceScale: 1, seed: 11, classId: null, length: null };

async function make(
  pipeline: SequencePipeline,
  count: number,
  settings: Partial<SequenceSettings> = {},
  options: Partial<GenerateSequencesOptions> = {},
) {
  const out: string[] = [];
  const stream = generateSequences({ pipeline, count, settings: { ...SETTINGS, ...settings }, ...options });
  for await (const { sequence } of stream) out.push(sequence);
  return out;
}

let tiny: string;
beforeAll(() => {
  tiny = writeTinyMaskedModel(join(root, 'tiny'), { length: 24 });
});

describe('a masked model of convolutions', () => {
  test.each(['masked', 'masked-one-at-a-time'] as const)(
    'gives the same sequences by %s at batch 1, 3 and 8',
    async (scheduler) => {
      const pipeline = await load(tiny);
      const [one, three, eight] = await Promise.all([
        make(pipeline, 8, { scheduler, classId: 1 }, { batch: 1 }),
        make(pipeline, 8, { scheduler, classId: 1 }, { batch: 3 }),
        make(pipeline, 8, { scheduler, classId: 1 }, { batch: 8 }),
      ]);
      expect(three).toEqual(one);
      expect(eight).toEqual(one);
      expect(new Set(one).size).toBe(8);
      expect(one.every((s) => /^[ACGT]{24}$/.test(s))).toBe(true);
    },
  );

  test('gives the same sequences when the network takes several at once', async () => {
    const [alone, grouped] = [await load(tiny), await load(tiny, { rowsPerCall: 5 })];
    const settings = { classId: 0, guidanceScale: 2.5 };
    expect(await make(grouped, 8, settings)).toEqual(await make(alone, 8, settings));
    expect(grouped.calls.count).toBe(alone.calls.count);
  });

  test('differs by seed and class', async () => {
    const pipeline = await load(tiny);
    const base = await make(pipeline, 4, { classId: 0 });
    expect(await make(pipeline, 4, { classId: 0 })).toEqual(base);
    expect(await make(pipeline, 4, { classId: 0, seed: 12 })).not.toEqual(base);
    expect(await make(pipeline, 4, { classId: 1 })).not.toEqual(base);
    expect(await make(pipeline, 4, { classId: null })).not.toEqual(base);
  });

  test('counts a call per sequence, two with guidance, none where nothing is revealed', async () => {
    const pipeline = await load(tiny);
    await make(pipeline, 3, { scheduler: 'masked-one-at-a-time', classId: 0 });
    expect(pipeline.calls.count).toBe(3 * 24);
    await make(pipeline, 1, { scheduler: 'masked-one-at-a-time', classId: 0, guidanceScale: 3 });
    expect(pipeline.calls.count).toBe(3 * 24 + 2 * 24);
    pipeline.calls.count = 0;
    await make(pipeline, 1, { steps: 500 });
    expect(pipeline.calls.count).toBeLessThanOrEqual(24);
  });

  test('stops between steps', async () => {
    const pipeline = await load(tiny);
    let asked = 0;
    const checkpoint = () => {
      if (++asked > 4) throw new Error('stopped');
    };
    await expect(make(pipeline, 8, {}, { checkpoint, batch: 2 })).rejects.toThrow('stopped');
    expect(asked).toBe(5);
  });
});

describe('lengths', () => {
  test('are drawn evenly between the shortest and the longest, or are the one asked for', async () => {
    const config = { length: [3, 6] };
    const pipeline = await load(writeTinyMaskedModel(join(root, 'lengths'), { length: 6, config }));
    const lengths = (await make(pipeline, 400, { steps: 2 })).map((s) => s.length);
    for (const length of [3, 4, 5, 6]) {
      const share = lengths.filter((l) => l === length).length / 400;
      expect(Math.abs(share - 0.25)).toBeLessThan(4 * Math.sqrt((0.25 * 0.75) / 400));
    }
    expect(new Set((await make(pipeline, 5, { length: 4 })).map((s) => s.length))).toEqual(new Set([4]));
    await expect(make(pipeline, 1, { length: 7 })).rejects.toThrow(/3 to 6 positions, not 7/);
  });

  test('shorter than an export of one length are filled up with padding that is not part of them', async () => {
    const law = { letters: 2, length: 2, joint: TOY_A.joint };
    const folder = writeToySequenceModel(join(root, 'pad'), { laws: [law] }, { length: [1, 2], pad_token_id: 0 });
    const pipeline = await masked(folder);
    expect(Array.from(pipeline.start(1))).toEqual([2, 0]);
    expect(new Set(await make(pipeline, 20, { length: 1 }))).toEqual(new Set(['C']));
  });
});

describe('what the network says', () => {
  const states = statesOf(TOY_A);
  const ask = async (options: ToyOptions, config: object = {}, condition: number | null = null, guidance = 1) => {
    const folder = writeToySequenceModel(join(root, `ask-${loaded.length}`), options, config);
    const pipeline = await masked(folder, { rowsPerCall: 4 });
    return await pipeline.denoiser(guidance).predict(states.map((tokens) => ({ tokens, time: 0.5, condition })));
  };

  test.each([
    ['as t', { name: 'timestep', rank: 1 }],
    ['as one number', { name: 't', rank: 0 }],
    ['as the noise', { name: 'sigma', rank: 1 }],
  ] as const)('is the exact conditional law in every state, with the time given %s', async (_, time) => {
    const answers = await ask({ laws: [TOY_A], time });
    const p = (state: number[], position: number, letter: number) =>
      Math.exp(answers[states.findIndex((s) => s.join() === state.join())]![position * 3 + letter]!);
    expect(p([2, 2], 0, 0)).toBeCloseTo(0.5, 6);
    expect(p([2, 2], 1, 0)).toBeCloseTo(0.6, 6);
    expect(p([0, 2], 1, 0)).toBeCloseTo(0.8, 6);
    expect(p([2, 1], 0, 0)).toBeCloseTo(0.25, 6);
    expect(p([0, 2], 0, 0)).toBe(1);
    expect(p([2, 2], 0, 2)).toBe(0);
  });

  test.each([
    ['timestep', {}, 0.5],
    // −ln(1 − 0.999 · 0.5)
    ['sigma', {}, 0.6921476806],
    ['sigma', { time_conditioning: false }, 0],
    ['timestep', { timestep: { quantity: 'sigma' } }, 0.6921476806],
  ] as const)('depends on the time as the input "%s" wants it, %j', async (name, config, told) => {
    const answers = await ask({ laws: [TOY_A], time: { name, rank: 1, effect: 1 } }, config);
    const [first, second] = answers.at(-1)!;
    // Both letters are as likely at the first position, but for the time.
    expect(first! - second!).toBeCloseTo(told, 6);
  });

  test('with columns in another order is put in the order of the tokens', async () => {
    const [plain, turned] = [await ask({ laws: [TOY_A] }), await ask({ laws: [TOY_A] }, { channels_order: 'CA' })];
    for (const [n, state] of states.entries()) {
      for (const i of [0, 1]) {
        if (state[i] !== 2) continue;
        expect(turned[n]![i * 3]).toBe(plain[n]![i * 3 + 1]);
        expect(turned[n]![i * 3 + 1]).toBe(plain[n]![i * 3]);
      }
    }
  });

  test('with guidance is cond^g · uncond^(1 − g)', async () => {
    const laws = [TOY_A, { ...TOY_A, joint: [0.1, 0.2, 0.3, 0.4] }];
    const config = { classes: ['x'], null_class_id: 1 };
    const guided = (await ask({ laws }, config, 0, 3)).at(-1)!;
    // First position: .5 and .5 with the class, .3 and .7 without.
    const weights = [0.5 ** 3 / 0.3 ** 2, 0.5 ** 3 / 0.7 ** 2];
    expect(Math.exp(guided[0]!)).toBeCloseTo(weights[0]! / (weights[0]! + weights[1]!), 6);
  });
});

describe('a one-hot model', () => {
  const patterns = [
    [0, 1, 2, 3, 0],
    [3, 3, 1, 1, 2],
    [2, 2, 2, 2, 2],
  ];

  test('whose classes are one sequence each makes that sequence', async () => {
    const pipeline = await load(writeTinyOneHotModel(join(root, 'onehot'), patterns));
    expect(await make(pipeline, 2, { classId: 0 })).toEqual(['ACGTA', 'ACGTA']);
    expect(await make(pipeline, 2, { classId: 1, guidanceScale: 2 })).toEqual(['TTCCG', 'TTCCG']);
    expect(await make(pipeline, 1, { scheduler: 'ddpm', steps: 8, eta: 1 })).toEqual(['GGGGG']);
    expect(pipeline.calls.count).toBe(2 * 5 + 2 * 2 * 5 + 8);
  });

  test('with its channels in another order reads them so', async () => {
    const pipeline = await load(writeTinyOneHotModel(join(root, 'order'), patterns, { channels_order: 'TGCA' }));
    expect(await make(pipeline, 1, { classId: 0 })).toEqual(['TGCAT']);
  });

  test('has no use for samplers of tokens, nor a masked one for those of numbers', async () => {
    const pipeline = await load(writeTinyOneHotModel(join(root, 'sampler'), patterns));
    await expect(make(pipeline, 1, { scheduler: 'masked' })).rejects.toThrow(/sampler "masked" does not fit/);
    await expect(make(await load(tiny), 1, { scheduler: 'ddim' })).rejects.toThrow(/sampler "ddim" does not fit/);
  });
});

describe('a class', () => {
  test('is found by name or number', async () => {
    const { model } = await load(tiny);
    expect(classIdOf(model, 'K562')).toBe(1);
    expect(classIdOf(model, '0')).toBe(0);
    expect(classIdOf(model, undefined)).toBeNull();
  });

  test('that a model does not have is refused by name', async () => {
    const { model } = await load(tiny);
    expect(() => classIdOf(model, 'HepG3')).toThrow(expect.objectContaining({ hint: 'Did you mean HepG2?' }));
    expect(() => classIdOf(model, '7')).toThrow(/no class "7"/);
  });

  test('is asked for where a model cannot do without, and refused where it has none', async () => {
    const needing = await load(writeToySequenceModel(join(root, 'needs'), { laws: [TOY_A, TOY_A] }));
    expect(() => classIdOf(needing.model, undefined)).toThrow(/makes sequences of a class, and none was named/);
    await expect(make(needing, 1, { classId: 0, guidanceScale: 2 })).rejects.toThrow(/nothing to guide away from/);
    const without = await load(writeToySequenceModel(join(root, 'without'), { laws: [TOY_A] }));
    expect(() => classIdOf(without.model, 'liver')).toThrow(/has no classes, so it has no "liver"/);
  });
});
