import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { createSteering, decodingWork } from '#pipelines/decoding/index.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { GeneratePayload, jobEvents } from '#pipelines/engine/jobs/payloads.ts';
import { readPlain } from '#pipelines/engine/plain-values.ts';
import { readGuided } from '#pipelines/engine/read-guided.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { TINY, testEngine } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-steering-'));
const modelPath = join(folder, 'tiny');
const project = join(folder, 'project');
const STEPS = 4;
beforeAll(() => writeTinyModel(modelPath));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PAYLOAD: GeneratePayload = {
  ...{ modelPath, adapterPath: null, prompts: ['a red tulip'], negativePrompt: '', count: 2, steps: STEPS },
  ...{ scheduler: 'ddim', eta: 1, guidanceScale: 1, seed: 5, keepTrajectories: false, shareInitialNoise: false },
};

const by = (...rewards: string[]) => ({ rewards: rewards.map((reward) => ({ reward, weight: 1 })) });
const alone = { combine: 'sum', cap: null } as const;
const warm = { ...by('warmth'), ...alone };

describe('a job whose pictures a reward steers', () => {
  test.each([
    // The last step of DDIM has no noise, so there is nothing to choose from, and nothing to tell.
    ['svdd-pm', { candidates: 3, alpha: 0.01 }, [3, 3, 3], 1],
    ['smc', { particles: 3 }, [3, 3, 3, 3], 3],
    ['best-of-n', { candidates: 3 }, [3, 3, 3, 3], 3],
  ] as const)(
    'by %s tells what competed at each step, what went on, and what each would become',
    async (decoder, options, many, survive) => {
      const context = recordedContext(project, decoder);
      await jobs.generate({ ...PAYLOAD, steering: { decoder, ...warm, options } }, context);
      const told = context.events
        .filter((e) => e.topic === 'steered')
        .map((e) => e.data as z.output<typeof jobEvents.steered>);
      expect(told.map((e) => [e.index, e.step])).toEqual([0, 1].flatMap((i) => many.map((_, k) => [i, k + 1])));
      for (const { step, values, survivors, reward, sheet } of told) {
        expect(reward).toBe('warmth');
        expect(values).toHaveLength(many[step - 1]!);
        expect(survivors.length).toBeLessThanOrEqual(survive);
        expect(survivors.every((place) => place >= 0 && place < 3)).toBe(true);
        const { width, height } = await decodeImage(join(project, 'samples', `${sheet!.hash}.png`));
        expect([width, height]).toEqual([sheet!.side * 3, sheet!.side]);
      }
      expect(readGuided(project, decoder, 1)).toMatchObject({ decoder, reward: 'warmth', total: STEPS, tree: null });
      expect(readGuided(project, decoder, 1)!.steps).toHaveLength(many.length);
    },
  );

  test('led along a gradient is worth more than left alone', async () => {
    const worth = async (strength: number) => {
      const context = recordedContext(project, `gradient-${strength}`);
      const options = { strength, alpha: 0.02 };
      await jobs.generate({ ...PAYLOAD, steering: { decoder: 'gradient', ...warm, options } }, context);
      const files = context.events.filter((e) => e.topic === 'sampleFile');
      const values = files.map((e) => (e.data as z.output<typeof jobEvents.sampleFile>).scores[0]!.value);
      return values.reduce((sum, v) => sum + v, 0) / values.length;
    };
    expect(await worth(1)).toBeGreaterThan((await worth(0)) + 0.005);
  });

  test('says of each picture what the reward says of its file', async () => {
    const context = recordedContext(project, 'score');
    const steering = { decoder: 'best-of-n', ...warm, options: { candidates: 3 } };
    await jobs.generate({ ...PAYLOAD, steering }, context);
    const files = context.events.flatMap((e) =>
      e.topic === 'sampleFile' ? [e.data as z.output<typeof jobEvents.sampleFile>] : [],
    );
    expect(files).toHaveLength(2);
    const warmth = await createReward('warmth');
    for (const { hash, scores, prompt } of files) {
      const { data, width, height } = await decodeImage(join(project, 'samples', `${hash}.png`));
      const [again] = await warmth.score([{ kind: 'image', rgb: data, width, height, prompt }]);
      expect(scores).toEqual([{ reward: 'warmth', value: expect.closeTo(again!, 6) }]);
      expect(existsSync(join(project, 'trajectories', `${hash}.safetensors`))).toBe(false);
    }
  });
});

test('where a reward dies under way, the pictures before are kept, and the error says so', async () => {
  const path = join(folder, 'dies.cjs');
  writeFileSync(
    path,
    `let calls = 0;
     require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
       const { id, items } = JSON.parse(line);
       if (++calls > 2) process.exit(9);
       console.log(JSON.stringify({ id, scores: items.map(() => 1) }));
     });`,
  );
  const steering = {
    decoder: 'best-of-n',
    ...alone,
    ...by(`command:'${process.execPath}' '${path}'`),
    options: { candidates: 2 },
  };
  const context = recordedContext(project, 'dies');
  await expect(jobs.generate({ ...PAYLOAD, count: 4, steering }, context)).rejects.toMatchObject({
    code: 'reward/crashed',
    hint: expect.stringContaining('2 of 4 pictures were finished before and are kept'),
  });
  expect(context.events.filter(({ topic }) => topic === 'sampleFile')).toHaveLength(2);
  expect(
    readFileSync(join(project, 'jobs', 'dies', 'journal.jsonl'), 'utf8')
      .trim()
      .split('\n'),
  ).toHaveLength(2);
});

test('several rewards are put on one scale first, and each says what it says of every picture', async () => {
  const context = recordedContext(project, 'several');
  const steering = { decoder: 'best-of-n', ...alone, ...by('warmth', 'contrast'), options: { candidates: 2 } };
  await jobs.generate({ ...PAYLOAD, count: 1, steering }, context);
  const told = context.events.flatMap((e) =>
    e.topic === 'sampleFile' ? [e.data as z.output<typeof jobEvents.sampleFile>] : [],
  );
  expect(told).toHaveLength(1);
  const [warmth, contrast, both] = told[0]!.scores;
  expect(both).toEqual({ reward: 'sum(warmth,contrast)', value: expect.any(Number) });
  const { data, width, height } = await decodeImage(join(project, 'samples', `${told[0]!.hash}.png`));
  for (const { reward, value } of [warmth!, contrast!]) {
    const own = await createReward(reward);
    const [again] = await own.score([{ kind: 'image', rgb: data, width, height, prompt: '' }]);
    expect(value).toBeCloseTo(again!, 6);
  }
  expect(context.stages.filter((stage) => stage.includes('to put the rewards on one scale')).length).toBeGreaterThan(1);
  const plain = readPlain(project, 'several');
  expect(plain.map(({ reward, values }) => [reward, values.length])).toEqual([
    ['warmth', 64],
    ['contrast', 64],
    ['sum(warmth,contrast)', 64],
  ]);
  expect(plain[2]!.values.reduce((sum, v) => sum + v, 0) / 64).toBeCloseTo(0, 6);
  // The second time they are there.
  const again = recordedContext(project, 'several-again');
  await jobs.generate({ ...PAYLOAD, count: 1, steering }, again);
  expect(again.stages.filter((stage) => stage.startsWith('plain sample 1 ')).length).toBe(0);
});

test.each([
  ['best-of-n', { candidates: 3 }],
  ['smc', { particles: 3 }],
  ['smc', { particles: 2, every: 3 }],
  ['svdd-pm', { candidates: 3 }],
  ['svdd-pm', { candidates: 3, branchFrom: 0.5 }],
  ['svdd-pm', { candidates: 3, branchTo: 0.5 }],
])('what %s takes is known before: %o', async (decoder, options) => {
  const pipeline = await loadPipeline(modelPath);
  let looked = 0;
  const score = async (pictures: readonly { rgb: Uint8Array }[]) => {
    looked += pictures.length;
    return Float64Array.from(pictures, ({ rgb }) => rgb.reduce((a, b) => a + b, 0) / rgb.length / 255);
  };
  const { negativePrompt, steps, scheduler, eta, guidanceScale, seed, keepTrajectories } = PAYLOAD;
  const settings = { negativePrompt, steps, scheduler, eta, guidanceScale, seed, keepTrajectories };
  const pictures = generatePictures({
    pipeline,
    settings,
    requests: [{ prompt: 'a red tulip', index: 0, noiseIndex: 0 }],
    steered: { steering: createSteering(decoder, options), reward: 'light', score },
  });
  for await (const _picture of pictures);
  expect({ denoiserCalls: pipeline.calls.count, rewardCalls: looked }).toEqual(decodingWork(decoder, options, STEPS));
  await pipeline.close();
});

test('a call with steering that cannot work is refused before there is a job', async () => {
  const t = testEngine();
  const call = (more: object) =>
    t.engine.call('generate.start', {
      ...{ modelId: TINY, prompts: ['red'], count: 1, seed: 1, keepTrajectories: false },
      steering: { decoder: 'smc', ...by('warmth'), options: {} },
      ...more,
    });
  const steering = { code: 'generate/steering' };
  await expect(call({ keepTrajectories: true })).rejects.toMatchObject(steering);
  await expect(call({ eta: 0 })).rejects.toMatchObject(steering);
  await expect(call({ scheduler: 'euler' })).rejects.toMatchObject(steering);
  await expect(call({ steering: { decoder: 'smc', ...by('warmth', 'beauty') } })).rejects.toMatchObject({
    code: 'reward/unknown',
  });
  await expect(call({ steering: { decoder: 'luck', ...by('warmth') } })).rejects.toMatchObject({
    code: 'decode/unknown',
  });
  await expect(call({ steering: { decoder: 'gradient', ...by('compressibility') } })).rejects.toMatchObject(steering);
  for (const wrong of [by('warmth', 'contrast'), { ...by('warmth'), cap: 0.9 }]) {
    await expect(call({ steering: { decoder: 'gradient', ...wrong } })).rejects.toMatchObject(steering);
  }
  await expect(call({ steering: { decoder: 'smc', ...by('warmth', 'warmth') } })).rejects.toMatchObject(steering);
  expect(await t.engine.call('jobs.list', {})).toEqual([]);
  const { decoders, rewards } = await t.engine.call('generate.steering', {});
  expect(rewards.filter((r) => r.hasGradient).map((r) => r.reward)).toEqual(['brightness', 'contrast', 'warmth']);
  expect(rewards.filter((r) => !r.higherIsBetter).map((r) => r.reward)).toEqual(['palette-distance']);
  const { rewards: ofSequences } = await t.engine.call('generate.steering', { of: 'sequences' });
  const rises = (name: string) => ofSequences.find(({ reward }) => reward === name)?.higherIsBetter;
  expect([rises('gc'), rises('homopolymer')]).toEqual([true, false]);
  expect(decoders.filter((d) => d.needsGradient).map((d) => d.name)).toEqual(['gradient']);
  expect(decoders.find((d) => d.name === 'svdd-mc')!.fields.map((f) => f.key)).toContain('value');
  for (const { name, fields, countKey } of decoders) {
    expect(fields.map((f) => f.key)).toContain(countKey);
    expect(() => createSteering(name, {})).not.toThrow();
  }
});
