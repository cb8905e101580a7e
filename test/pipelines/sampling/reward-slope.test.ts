import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { latentDims } from '#models/families/model-folder.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { numel } from '#models/tensor/tensor.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import { generatePictures, type Picture } from '#pipelines/sampling/generate.ts';
import { generateSequences, loadSequencePipeline } from '#pipelines/sampling/generate-sequences.ts';
import type { MaskedPipeline } from '#pipelines/sampling/masked-pipeline.ts';
import type { OneHotPipeline } from '#pipelines/sampling/onehot-pipeline.ts';
import { openPictureSlope, rewardOfLatents } from '#pipelines/sampling/picture-slope.ts';
import { loadPipeline, sizeOf } from '#pipelines/sampling/pipeline.ts';
import { openSlope, type RewardSlope } from '#pipelines/sampling/reward-slope.ts';
import { openMaskedSlope, openOneHotSlope } from '#pipelines/sampling/sequence-slope.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { tinyVaeDecoder } from '#test/models/families/tiny-graphs.ts';
import { writeTinyScorer } from '#test/support/reward-models.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel, writeTinyOneHotModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'reward-slope-'));
afterAll(() => rmSync(root, { recursive: true }));
const at = (name: string) => join(root, name);

/** Slope along a random direction, and the difference of values along it. */
async function slopes(slope: RewardSlope, sample: Float32Array, epsilon = 2e-3) {
  const along = new Rng(2).fillNormal(new Float32Array(sample.length));
  const moved = (by: number) => sample.map((v, i) => v + by * along[i]!);
  const [gradient] = await slope.gradient([sample], [0]);
  const [up, down] = await slope.values([moved(epsilon), moved(-epsilon)], [0, 0]);
  const difference = (up! - down!) / (2 * epsilon);
  return { along: gradient!.reduce((sum, g, i) => sum + g * along[i]!, 0), difference };
}

/** Float32 has about 1e-7 of a score of order one: 3e-5 in a difference. */
const agree = ({ along, difference }: { along: number; difference: number }) => {
  expect(Math.abs(difference)).toBeGreaterThan(2e-4);
  expect(Math.abs(along - difference)).toBeLessThan(0.02 * Math.abs(difference) + 3e-5);
};

/** Pictures of a model steered by the gradient of a scorer, and plain ones, with their rewards. */
async function pictures(folder: string, spec: string, strength: number) {
  const pipeline = await loadPipeline(folder, { threads: 1 });
  const reward = await createReward(spec, { threads: 1 });
  const steering = createSteering('gradient', { strength, alpha: 1, spread: 1 });
  const made: Picture[] = [];
  const stream = generatePictures({
    pipeline,
    settings: {
      scheduler: 'ddim',
      steps: 8,
      eta: 1,
      guidanceScale: 1,
      negativePrompt: '',
      seed: 4,
      keepTrajectories: false,
    },
    requests: Array.from({ length: 4 }, (_, index) => ({ prompt: 'red cat', index, noiseIndex: index })),
    steered: { steering, reward: spec, score: (items) => scoreWith(reward, items), graph: reward.graph },
  });
  for await (const picture of stream) made.push(picture);
  await Promise.all([pipeline.close(), reward.close()]);
  return made.map((p) => p.reward!);
}
const mean = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;

describe('pictures of pixels', () => {
  const folder = () => writeTinyModel(at('pixels'));
  const scorer = () => writeTinyScorer(at('pixels-scorer'), { dims: ['B', 3, 8, 8], sizes: [1, 3, 8, 8] });

  test('have the slope of their reward', async () => {
    const pipeline = await loadPipeline(folder(), { threads: 1 });
    const reward = await createReward(`onnx:${scorer()}`, { threads: 1 });
    const dims = latentDims(pipeline.model, sizeOf(pipeline.folder, {}));
    const slope = await openPictureSlope(pipeline, dims, reward.graph!);
    const sample = new Rng(3).fillNormal(new Float32Array(numel(dims))).map((v) => 0.3 * v);
    agree(await slopes(slope, sample));
    await Promise.all([slope.close(), reward.close(), pipeline.close()]);
  });

  test('led along it are worth more, the more they lean the more', async () => {
    const spec = `onnx:${scorer()}`;
    const model = folder();
    const [none, some, more] = [
      await pictures(model, spec, 0),
      await pictures(model, spec, 2),
      await pictures(model, spec, 8),
    ];
    expect(mean(some)).toBeGreaterThan(mean(none) + 0.05);
    expect(mean(more)).toBeGreaterThan(mean(some));
  });
});

describe('latents', () => {
  const constants = { scale: 0.18215, shift: 0.1, factor: 2 };
  const reward = async () => {
    const opened = await createReward(
      `onnx:${writeTinyScorer(at('latents-scorer'), { dims: ['B', 3, 16, 16], sizes: [1, 3, 16, 16] })}`,
      { threads: 1 },
    );
    return { graph: opened.graph!, close: opened.close };
  };

  test('have the slope of the reward of their picture, through the decoder', async () => {
    const pipeline = await loadPipeline(tinyFolder('sd1').write(at('sd1')), { threads: 1 });
    const { graph, close } = await reward();
    const slope = await openPictureSlope(pipeline, [4, 8, 8], graph);
    const sample = new Rng(3).fillNormal(new Float32Array(256));
    agree(await slopes(slope, sample));
    // Its value is the score of the picture that the pipeline decodes, but for the rounding of pixels.
    const { data } = await pipeline.decode(sample, [4, 8, 8]);
    const plain = await openSlope(graph({ kind: 'image', channels: 3, width: 16, height: 16 }));
    expect((await slope.values([sample], [0]))[0]).toBeCloseTo((await plain.values([data], [0]))[0]!, 5);
    await Promise.all([slope.close(), plain.close(), close(), pipeline.close()]);
  });

  test('are looked at smaller where the slope would take too much memory, and refused with what it takes', async () => {
    const { graph, close } = await reward();
    const decoder = tinyVaeDecoder(4);
    const dims = [4, 8, 8] as const;
    const all = 16 * 16 * 3 * 4;
    const small = await openSlope(rewardOfLatents(decoder, constants, dims, graph, all));
    agree(await slopes(small, new Rng(3).fillNormal(new Float32Array(256)), 0.1));
    await small.close();
    expect(() => rewardOfLatents(decoder, constants, dims, graph, 100)).toThrow(
      expect.objectContaining({ code: 'decode/memory' }),
    );
    const fixed = tinyVaeDecoder(4, { side: 4, baked: true });
    expect(() => rewardOfLatents(fixed, constants, [4, 6, 6], graph)).toThrow(
      expect.objectContaining({ code: 'vae/size' }),
    );
    await close();
  });

  test('led along the slope are worth more', async () => {
    const model = tinyFolder('sd1').write(at('sd1-steered'));
    const spec = `onnx:${writeTinyScorer(at('sd1-scorer'), { dims: ['B', 3, 16, 16], sizes: [1, 3, 16, 16] })}`;
    expect(mean(await pictures(model, spec, 3))).toBeGreaterThan(mean(await pictures(model, spec, 0)) + 0.02);
  });
});

const LETTERS = Array.from({ length: 12 }, (_, i) => i % 4);

describe('sequences', () => {
  const scorer = () => writeTinyScorer(at('letters-scorer'), { dims: ['B', 12, 4], sizes: [1, 12, 4] });
  const masked = async (name: string) =>
    (await loadSequencePipeline(writeTinyMaskedModel(at(name), { length: 12 }), { threads: 1 })) as MaskedPipeline;

  test('of a masked model have the slope of their reward by the probability of every letter, and none by the mask', async () => {
    const pipeline = await masked('masked');
    const reward = await createReward(`onnx:${scorer()}`, { threads: 1 });
    const slope = await openMaskedSlope(pipeline, [12], reward.graph!);
    const sample = Float32Array.from({ length: 12 * 5 }, (_, i) => (i % 5 === 4 ? 0 : 0.1 + 0.1 * (i % 4)));
    agree(await slopes(slope, sample));
    const [gradient] = await slope.gradient([sample], [0]);
    for (let i = 4; i < 60; i += 5) expect(gradient![i]).toBe(0);
    await Promise.all([slope.close(), reward.close(), pipeline.close()]);
  });

  test('of a one-hot model have it by the numbers of a sample', async () => {
    const folder = writeTinyOneHotModel(at('onehot'), [LETTERS, LETTERS], { classes: ['a'], null_class_id: 1 });
    const pipeline = (await loadSequencePipeline(folder, { threads: 1 })) as OneHotPipeline;
    const reward = await createReward(`onnx:${scorer()}`, { threads: 1 });
    const slope = await openOneHotSlope(pipeline, reward.graph!);
    agree(await slopes(slope, new Rng(3).fillNormal(new Float32Array(48))));
    await Promise.all([slope.close(), reward.close(), pipeline.close()]);
  });

  test('of a masked model led along it are worth more', async () => {
    const pipeline = await masked('led');
    const spec = `onnx:${scorer()}`;
    const reward = await createReward(spec, { threads: 1 });
    const run = async (strength: number) => {
      const rewards: number[] = [];
      const stream = generateSequences({
        pipeline,
        settings: { eta: 0, guidanceScale: 1, seed: 11, classId: 1, length: null, steps: 6 },
        count: 12,
        steered: {
          steering: createSteering('gradient', { strength, alpha: 1 }),
          reward: spec,
          score: (sequences) =>
            scoreWith(
              reward,
              sequences.map((sequence) => ({ kind: 'sequence', sequence })),
            ),
          graph: reward.graph,
        },
      });
      for await (const made of stream) rewards.push(made.reward!);
      return mean(rewards);
    };
    expect(await run(4)).toBeGreaterThan((await run(0)) + 0.1);
    await Promise.all([reward.close(), pipeline.close()]);
  });
});

test('a reward that nothing of the sample reaches is refused by name', async () => {
  const op = createBuilder();
  const x = op.input('sample', 'float32', [1, 2]);
  op.output(op.reduceSumAll(op.apply('Round', [x])), 'score');
  await expect(openSlope(op.toModel('rounded'))).rejects.toMatchObject({ code: 'decode/not-differentiable' });
});
