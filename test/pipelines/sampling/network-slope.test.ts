import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { timestepFor } from '#pipelines/sampling/feeds.ts';
import { generatePictures, type Picture, scheduleOf } from '#pipelines/sampling/generate.ts';
import { generateSequences, loadSequencePipeline } from '#pipelines/sampling/generate-sequences.ts';
import { openNetworkSlope } from '#pipelines/sampling/network-slope.ts';
import type { OneHotPipeline } from '#pipelines/sampling/onehot-pipeline.ts';
import { openPictureNetworkSlope, openPictureSlope } from '#pipelines/sampling/picture-slope.ts';
import { loadPipeline, type PipelineOptions, sizeOf } from '#pipelines/sampling/pipeline.ts';
import { openOneHotNetworkSlope, openOneHotSlope } from '#pipelines/sampling/sequence-slope.ts';
import { createGaussianSchedule } from '#pipelines/schedulers/index.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { writeTinyScorer } from '#test/support/reward-models.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel, writeTinyOneHotModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'network-slope-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (name: string) => join(root, name);

const UNLIMITED = { clipSampleRange: null, dynamicThreshold: null };
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((s, v, i) => s + v * b[i]!, 0);

describe('two equal heaps of data at ±m, each of variance v, whose best guess bends', () => {
  const variance = 0.1;
  const signal = 0.6;
  const noise = 0.8;
  const d = signal ** 2 * variance + noise ** 2;
  const k = (signal * variance) / d;
  const rest = 1 - k * signal;
  /** ε; the network sees half of a sample. */
  const step: GaussianStep = {
    timestep: 0,
    inputScale: 0.5,
    sample: 1,
    output: 0,
    past: [],
    std: 0,
    x0Sample: 1 / signal,
    x0Output: -noise / signal,
    x0Weight: 0,
    signal,
    noise,
  };
  /** x̂₀ = k·x + (1 − k·signal)·m·tanh(signal·m·x/d), and from it ε, of `sample [B, 2]` for `centre [B, 2]`. */
  const network = (): Model => {
    const op = createBuilder();
    const x = op.mulScalar(op.input('sample', 'float32', [1, 2]), 2);
    const m = op.input('centre', 'float32', [1, 2]);
    const side = op.tanh(op.mulScalar(op.reduceSum(op.mul(m, x), [1]), signal / d));
    const clean = op.add2(op.mulScalar(x, k), op.mulScalar(op.mul(m, side), rest));
    op.output(op.mulScalar(op.sub(x, op.mulScalar(clean, signal)), 1 / noise), 'epsilon');
    return op.toModel('heaps', () => ['batch', 2]);
  };
  const weights = [0.7, -1.3];
  /** Σ w·sin y. */
  const reward = (): Model => {
    const op = createBuilder();
    const y = op.input('sample', 'float32', [1, 2]);
    op.output(op.reduceSumAll(op.mul(op.apply('Sin', [y]), op.f32([1, 2], weights))), 'score');
    return op.toModel('reward');
  };
  const centres = { prompt: [1.2, 0.4], negative: [-0.3, 0.9] };
  type Branches = readonly (readonly number[])[];
  const branchesOf = (scale: number | null): Branches =>
    scale === null ? [centres.prompt] : [centres.negative, centres.prompt];
  const slopeOf = (scale: number | null, more: object = {}) => {
    const calls = { count: 0 };
    const slope = openNetworkSlope<Branches>(
      {
        network: network(),
        sample: 'sample',
        output: 'epsilon',
        dims: [2],
        packed: false,
        calls,
        feedsOf: (branches) => ({
          rows: branches.length,
          asked: branches.length,
          guidanceScale: scale,
          feeds: { centre: f32([branches.length, 2], Float32Array.from(branches.flat())) },
        }),
      },
      { ...UNLIMITED, ...more },
      reward(),
      { threads: 1 },
    );
    return { slope, calls };
  };
  const weightsOf = (scale: number | null) => (scale === null ? [1] : [1 - scale, scale]);

  test.each([null, 3])('at guidance %s has the closed form’s slope, and not that of Gaussian data', async (scale) => {
    const { slope, calls } = slopeOf(scale);
    const x = [0.3, -0.5];
    const { bySample, byClean } = await slope.ask(Float32Array.from(x), step, branchesOf(scale));
    const guess = [0, 0];
    const jacobian = [k, 0, 0, k];
    for (const [b, w] of weightsOf(scale).entries()) {
      const m = branchesOf(scale)[b]!;
      const side = Math.tanh((signal * dot(m, x)) / d);
      for (let i = 0; i < 2; i++) {
        guess[i]! += w * (k * x[i]! + rest * m[i]! * side);
        for (let j = 0; j < 2; j++) jacobian[2 * i + j]! += w * rest * m[i]! * (1 - side ** 2) * (signal / d) * m[j]!;
      }
    }
    const g = guess.map((y, i) => weights[i]! * Math.cos(y));
    for (let j = 0; j < 2; j++) {
      expect(byClean[j]).toBeCloseTo(g[j]!, 5);
      expect(bySample[j]).toBeCloseTo(jacobian[j]! * g[0]! + jacobian[2 + j]! * g[1]!, 5);
    }
    const cosine = dot(bySample, byClean) / Math.sqrt(dot(bySample, bySample) * dot(byClean, byClean));
    expect(Math.abs(cosine)).toBeLessThan(0.99);
    expect(calls.count).toBe(scale === null ? 1 : 2);
    await slope.close();
  });

  describe('asked through a session of its own', () => {
    let session: Session;
    beforeAll(async () => {
      session = await createSession(encodeModel(network()), { threads: 1 });
    });
    afterAll(() => session.release());
    /** What the network says, guided, and the reward of the best guess it leads to. */
    const plain = async (x: readonly number[], scale: number | null, clip = Number.POSITIVE_INFINITY) => {
      const branches = branchesOf(scale);
      const rows = Float32Array.from(branches.flatMap(() => x.map((v) => step.inputScale * v)));
      const dims = [branches.length, 2];
      const said = (
        await session.run({ sample: f32(dims, rows), centre: f32(dims, Float32Array.from(branches.flat())) })
      ).epsilon!.data as Float32Array;
      const output = x.map((_, i) => weightsOf(scale).reduce((s, w, b) => s + w * said[2 * b + i]!, 0));
      const clean = x.map((v, i) => step.x0Sample * v + step.x0Output * output[i]!);
      const value = clean.reduce((s, y, i) => s + weights[i]! * Math.sin(Math.min(clip, Math.max(-clip, y))), 0);
      return { output, clean, value };
    };

    test.each([null, 3])(
      'at guidance %s, differences of the reward agree, and so does what the network says',
      async (scale) => {
        const { slope } = slopeOf(scale);
        const x = [-0.2, 0.7];
        const { output, bySample } = await slope.ask(Float32Array.from(x), step, branchesOf(scale));
        for (let j = 0; j < 2; j++) {
          const moved = (by: number) =>
            plain(
              x.map((v, i) => (i === j ? v + by : v)),
              scale,
            );
          const difference = ((await moved(4e-3)).value - (await moved(-4e-3)).value) / 8e-3;
          // Float32 has 1e-7 of numbers of order one: about 5e-5 in such a difference.
          expect(Math.abs(bySample[j]! - difference)).toBeLessThan(3e-4);
          expect(output[j]).toBeCloseTo((await plain(x, scale)).output[j]!, 5);
        }
        await slope.close();
      },
    );

    test('where the sampler clips the best guess, nothing flows back', async () => {
      const x = [-0.2, 0.7];
      const { clean } = await plain(x, null);
      const [low, high] = clean.map(Math.abs).sort((a, b) => a - b) as [number, number];
      const clip = (low + high) / 2;
      const { slope } = slopeOf(null, { clipSampleRange: clip });
      const { bySample, byClean } = await slope.ask(Float32Array.from(x), step, branchesOf(null));
      expect(clean.map((y) => Math.abs(y) > clip)).toEqual(Array.from(byClean, (g) => g === 0));
      for (let j = 0; j < 2; j++) {
        const moved = (by: number) =>
          plain(
            x.map((v, i) => (i === j ? v + by : v)),
            null,
            clip,
          );
        const difference = ((await moved(4e-3)).value - (await moved(-4e-3)).value) / 8e-3;
        expect(Math.abs(bySample[j]! - difference)).toBeLessThan(3e-4);
      }
      await slope.close();
    });
  });

  test('a sampler that thresholds by quantiles is refused by name', () => {
    expect(() => slopeOf(null, { dynamicThreshold: { ratio: 0.995, max: 1 } })).toThrow(
      expect.objectContaining({ code: 'decode/dynamic-threshold' }),
    );
  });
});

/** The slope of a reward along a random direction, and the difference of r(x̂₀) along it by the pipeline’s own sessions. */
async function compared(
  folder: string,
  spec: string,
  how: { guidanceScale: number; scheduler?: 'euler' | 'ddim'; options?: PipelineOptions },
) {
  const pipeline = await loadPipeline(folder, { threads: 1, ...how.options });
  const reward = await createReward(spec, { threads: 1 });
  const { guidanceScale } = how;
  const scheduler = how.scheduler ? { scheduler: how.scheduler } : {};
  const settings = {
    ...scheduler,
    steps: 7,
    eta: 0,
    guidanceScale,
    negativePrompt: 'house',
    seed: 1,
    keepTrajectories: false,
  };
  const schedule = scheduleOf(pipeline, settings);
  const step = schedule.steps[3]!;
  const pixels = sizeOf(pipeline.folder, {});
  const denoiser = pipeline.denoiser(guidanceScale, pixels);
  const dims = denoiser.dims as [number, number, number];
  const slope = openPictureNetworkSlope(pipeline, { ...pixels, guidanceScale }, schedule, dims, reward.graph!);
  const values = await openPictureSlope(pipeline, dims, reward.graph!);
  const [condition] = await pipeline.encode(['red cat'], settings.negativePrompt);
  const size = dims.reduce((a, b) => a * b, 1);
  const level = Math.hypot(step.signal, step.noise);
  const x = new Rng(3).fillNormal(new Float32Array(size)).map((v) => level * v);
  const along = new Rng(2).fillNormal(new Float32Array(size));
  const calls = pipeline.calls.count;
  const said = await slope.ask(x, step, condition!);
  const asked = pipeline.calls.count - calls;
  const predict = (from: Float32Array) =>
    denoiser.predict(
      from.map((v) => step.inputScale * v),
      step.timestep,
      [condition!],
    );
  const plain = await predict(x);
  const value = async (by: number) => {
    const moved = x.map((v, i) => v + by * along[i]!);
    const output = await predict(moved);
    return (await values.values([moved.map((v, i) => step.x0Sample * v + step.x0Output * output[i]!)], [0]))[0]!;
  };
  const epsilon = 4e-3 * level;
  const difference = ((await value(epsilon)) - (await value(-epsilon))) / (2 * epsilon);
  await Promise.all([slope.close(), values.close(), reward.close(), pipeline.close()]);
  const largest = (xs: Float32Array) => xs.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  return {
    along: dot(said.bySample, along),
    difference,
    asked,
    outputError: largest(said.output.map((v, i) => v - plain[i]!)) / largest(plain),
  };
}

/** As for rewards of finished samples: 2 % and what float32 leaves of a difference. */
function expectAgreement({ along, difference, outputError }: Awaited<ReturnType<typeof compared>>, exact = 1e-5) {
  expect(outputError).toBeLessThan(exact);
  expect(Math.abs(difference)).toBeGreaterThan(2e-4);
  expect(Math.abs(along - difference)).toBeLessThan(0.02 * Math.abs(difference) + 5e-5);
}

describe('pictures', () => {
  const scorer = () => `onnx:${writeTinyScorer(at('scorer8'), { dims: ['B', 3, 8, 8], sizes: [1, 3, 8, 8] })}`;
  const scorer16 = () => `onnx:${writeTinyScorer(at('scorer16'), { dims: ['B', 3, 16, 16], sizes: [1, 3, 16, 16] })}`;

  test('of pixels have the slope of r(x̂₀(x_t)) through the whole network, for one call of each branch', async () => {
    const seen = await compared(writeTinyModel(at('pixels')), scorer(), { guidanceScale: 3 });
    expectAgreement(seen);
    expect(seen.asked).toBe(2);
  });

  test.each([
    ['sd1', 'its decoder', 4, undefined],
    ['sd-turbo', 'samples scaled for the network', 2, 'euler' as const],
    ['flux-dev', 'patches as tokens', 1, undefined],
    ['pixart-alpha', 'a variance that the network predicts too', 3, undefined],
    ['baked-batch-2', 'a fixed batch that is filled up', 1, undefined],
  ])('of latents (%s) have it through %s', async (name, _, guidanceScale, scheduler) => {
    const folder = tinyFolder(name).write(at(name));
    expectAgreement(await compared(folder, scorer16(), { guidanceScale, ...(scheduler ? { scheduler } : {}) }));
  });

  test('of a model with an adapter have the adapted network’s', async () => {
    const folder = tinyFolder('sd1').write(at('adapted'));
    const path = at('adapter.safetensors');
    const pipeline = await loadPipeline(folder, { threads: 1 });
    const targets = findLoraTargets(pipeline.folder.unet, 'all');
    const scale = { rank: 2, alpha: 1 };
    writeLoraFile(path, { targets, config: { ...scale, targets: 'all' }, parameters: randomLora(targets, scale, 4) });
    await pipeline.close();
    const without = await compared(folder, scorer16(), { guidanceScale: 3 });
    const within = await compared(folder, scorer16(), {
      guidanceScale: 3,
      options: { adapters: [{ path, weight: 10 }] },
    });
    expectAgreement(within);
    expect(Math.abs(within.along - without.along)).toBeGreaterThan(0.05 * Math.abs(without.along));
  });

  test('where prompt and negative go through the network one after the other, are refused by name', async () => {
    const folder = tinyFolder('baked').write(at('baked'));
    await expect(compared(folder, scorer16(), { guidanceScale: 3 })).rejects.toMatchObject({ code: 'decode/one-row' });
  });

  const made = async (options: object, batch = 4, indices = [0, 1, 2, 3]) => {
    const pipeline = await loadPipeline(tinyFolder('sd1').write(at('led')), { threads: 1 });
    const reward = await createReward(scorer16(), { threads: 1 });
    const steering = createSteering('gradient', { through: 'network', alpha: 1, ...options });
    const pictures: Picture[] = [];
    const stream = generatePictures({
      pipeline,
      settings: {
        scheduler: 'ddim',
        steps: 8,
        eta: 1,
        guidanceScale: 3,
        negativePrompt: '',
        seed: 4,
        keepTrajectories: false,
      },
      requests: indices.map((index) => ({ prompt: 'red cat', index, noiseIndex: index })),
      batch,
      steered: {
        steering,
        reward: 'scorer',
        score: async (items) => Float64Array.from(await reward.score(items)),
        graph: reward.graph,
      },
    });
    for await (const picture of stream) pictures.push(picture);
    const calls = { network: pipeline.calls.count, gradient: steering.gradientCalls!.count };
    await Promise.all([pipeline.close(), reward.close()]);
    return { samples: pictures.map((p) => p.sample), rewards: pictures.map((p) => p.reward!), calls };
  };

  test('at strength 0 are plain samples byte for byte, and no gradient is taken', async () => {
    const none = await made({ strength: 0 });
    const data = await made({ through: 'data', strength: 0 });
    expect(none.samples).toEqual(data.samples);
    expect(none.calls).toEqual({ network: 4 * 8 * 2, gradient: 0 });
  });

  test('led through the network do not depend on a batch, cost a call a step, and are worth more', async () => {
    const all = await made({ strength: 2 });
    expect((await made({ strength: 2 }, 1, [2, 1])).samples).toEqual([all.samples[2], all.samples[1]]);
    expect(all.calls).toEqual({ network: 4 * 8 * 2, gradient: 4 * 8 });
    const none = await made({ strength: 0 });
    const mean = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
    expect(mean(all.rewards)).toBeGreaterThan(mean(none.rewards) + 0.02);
  });

  test('keep less in memory where they must, with the same slope, and are refused with what they take', async () => {
    const pipeline = await loadPipeline(tinyFolder('sd1').write(at('memory')), { threads: 1 });
    const { unet } = pipeline.folder;
    const plan = pipeline.model.denoiser;
    const timePort = plan.component.signature.inputs.find((port) => port.name === plan.timestep)!;
    const [condition] = await pipeline.encode(['red cat'], '');
    const feeds = Object.fromEntries(
      [...pipeline.denoiser(1).inputs(condition!).prompt].map(([name, t]) => [
        name,
        f32([1, ...t.dims], t.data as Float32Array),
      ]),
    );
    const step = scheduleOf(pipeline, {
      steps: 5,
      eta: 1,
      guidanceScale: 1,
      negativePrompt: '',
      seed: 1,
      keepTrajectories: false,
    }).steps[2]!;
    const op = createBuilder();
    op.output(op.reduceSumAll(op.tanh(op.input('sample', 'float32', [1, 4, 8, 8]))), 'score');
    const reward = op.toModel('reward');
    const ask = async (budgetBytes: number) => {
      const slope = openNetworkSlope<null>(
        {
          network: unet,
          sample: plan.sample,
          output: plan.output,
          dims: [4, 8, 8],
          packed: false,
          calls: { count: 0 },
          feedsOf: (_, timestep) => ({
            rows: 1,
            asked: 1,
            guidanceScale: null,
            feeds: { ...feeds, [plan.timestep]: timestepFor(timePort, 1, timestep) },
          }),
        },
        UNLIMITED,
        reward,
        { threads: 1, budgetBytes },
      );
      try {
        return (await slope.ask(new Rng(1).fillNormal(new Float32Array(256)), step, null)).bySample;
      } finally {
        await slope.close();
      }
    };
    const flat = await ask(2 ** 30);
    await expect(ask(1000)).rejects.toMatchObject({
      code: 'decode/memory',
      hint: expect.stringContaining('through=data'),
    });
    const small = await ask(120_000);
    for (const [i, g] of flat.entries()) expect(small[i]).toBeCloseTo(g, 5);
    await pipeline.close();
  });
});

describe('sequences', () => {
  const scorer = () => `onnx:${writeTinyScorer(at('letters'), { dims: ['B', 12, 4], sizes: [1, 12, 4] })}`;
  const LETTERS = Array.from({ length: 12 }, (_, i) => i % 4);
  const settings = { eta: 1, guidanceScale: 1, seed: 11, classId: null, length: null, steps: 5 };
  const steered = async (folder: string) => {
    const pipeline = await loadSequencePipeline(folder, { threads: 1 });
    const reward = await createReward(scorer(), { threads: 1 });
    try {
      const stream = generateSequences({
        pipeline,
        settings,
        count: 2,
        steered: {
          steering: createSteering('gradient', { through: 'network' }),
          reward: 'scorer',
          score: async (all) =>
            Float64Array.from(await reward.score(all.map((sequence) => ({ kind: 'sequence', sequence })))),
          graph: reward.graph,
        },
      });
      const rewards: number[] = [];
      for await (const one of stream) rewards.push(one.reward!);
      return rewards;
    } finally {
      await Promise.all([reward.close(), pipeline.close()]);
    }
  };

  test('of numbers have the slope through a network that predicts one sequence whatever it sees: none', async () => {
    const folder = writeTinyOneHotModel(at('onehot'), [LETTERS, LETTERS.toReversed(), LETTERS], {
      classes: ['a', 'b'],
      null_class_id: 2,
    });
    const pipeline = (await loadSequencePipeline(folder, { threads: 1 })) as OneHotPipeline;
    const reward = await createReward(scorer(), { threads: 1 });
    const schedule: GaussianSchedule = createGaussianSchedule(pipeline.scheduler, { steps: 5, eta: 1 });
    const step = schedule.steps[2]!;
    const x = new Rng(3).fillNormal(new Float32Array(48));
    const slope = openOneHotNetworkSlope(pipeline, 3, schedule, reward.graph!);
    const { output, bySample, byClean } = await slope.ask(x, step, 1);
    const plain = await pipeline.denoiser(3).predict(x, step.timestep, [1]);
    for (const [i, v] of plain.entries()) expect(output[i]).toBeCloseTo(v, 5);
    expect(Math.max(...bySample.map(Math.abs))).toBe(0);
    const own = await openOneHotSlope(pipeline, reward.graph!);
    const [gradient] = await own.gradient([plain], [0]);
    for (const [i, g] of gradient!.entries()) expect(byClean[i]).toBeCloseTo(g, 5);
    await Promise.all([slope.close(), own.close(), reward.close(), pipeline.close()]);
    expect((await steered(folder)).every(Number.isFinite)).toBe(true);
  });

  test('of letters have no derivative by the network’s input, which is said', async () => {
    const folder = writeTinyMaskedModel(at('masked'), { length: 12 });
    await expect(steered(folder)).rejects.toMatchObject({ code: 'decode/through-network' });
  });
});
