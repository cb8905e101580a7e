import { describe, expect, test } from 'vitest';
import type { MaskedModel } from '#models/families/masked-sequence.ts';
import { createBuilder } from '#models/ops/index.ts';
import { i64 } from '#models/tensor/tensor.ts';
import { gaussianChain } from '#pipelines/decoding/gaussian-chain.ts';
import { gradient, gradientOptions, guided } from '#pipelines/decoding/gradient.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import { maskedChain } from '#pipelines/decoding/masked-chain.ts';
import { meanValue } from '#pipelines/decoding/value.ts';
import type { SampleRow } from '#pipelines/sampling/loop.ts';
import { openNetworkSlope } from '#pipelines/sampling/network-slope.ts';
import { openSlope, type RewardSlope } from '#pipelines/sampling/reward-slope.ts';
import { openMaskedSlope } from '#pipelines/sampling/sequence-slope.ts';
import type { Score } from '#pipelines/sampling/steering.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';
import { target, toySchedule } from '#test/pipelines/sampling/gaussian.ts';
import type { ToyLaw } from '#test/support/masked-toy.ts';
import { finish, gaussianToy, maskedToy } from './toys.ts';

/** Data N(1, ¼), as its spread. */
const spread = Math.sqrt(target.variance);
const rowsOf = (count: number, from = 0): SampleRow<null>[] =>
  Array.from({ length: count }, (_, k) => ({ condition: null, seed: 3, index: from + k, noiseIndex: from + k }));
const first: Score = async (samples) => Float64Array.from(samples, (s) => s[0]!);

/** r = weight·x as an ONNX model; squared: −weight·x². */
function pictureReward(weight: number, squared = false): Promise<RewardSlope> {
  const op = createBuilder();
  const x = op.input('sample', 'float32', [1, 1]);
  const y = squared ? op.mul(op.mul(x, x), op.f32([1, 1], [-weight])) : op.mul(x, op.f32([1, 1], [weight]));
  op.output(op.reduceSumAll(y), 'score');
  return openSlope(op.toModel('reward'));
}

/** Euler steps of a flow, σ from 1 to 0 in equal parts. */
function flow(steps: number): GaussianSchedule {
  return {
    kind: 'gaussian',
    name: 'flow-match-euler',
    predictionType: 'flow_velocity',
    initNoiseSigma: 1,
    clipSampleRange: null,
    dynamicThreshold: null,
    steps: Array.from({ length: steps }, (_, i): GaussianStep => {
      const sigma = 1 - i / steps;
      return {
        timestep: i,
        inputScale: 1,
        sample: 1,
        output: -1 / steps,
        past: [],
        std: 0,
        x0Sample: 1,
        x0Output: -sigma,
        x0Weight: 0,
        signal: 1 - sigma,
        noise: sigma,
      };
    }),
  };
}

/** E[ε − x₀ | x] of N(1, ¼). */
function exactVelocity({ signal, noise }: GaussianStep): { gain: number; offset: number } {
  const { mean, variance } = target;
  const d = signal ** 2 * variance + noise ** 2;
  const gain = (noise - signal * variance) / d;
  return { gain, offset: -mean - gain * signal * mean };
}

describe('a flow led by the exact soft value of r = x, α = ½', () => {
  test.each([
    [10, 0.1855737],
    [40, 0.2321417],
    [200, 0.2463228],
  ])('in %i Euler steps has a mean of exactly 1.5 and the variance of the steps, %f', async (steps, variance) => {
    const schedule = flow(steps);
    const toy = await gaussianToy(schedule, exactVelocity);
    const reward = await pictureReward(1);
    const rows = rowsOf(2);
    const run = (strength: number) =>
      finish(
        gradient(
          gaussianChain(toy.denoiser, schedule, rows),
          first,
          gradientOptions.parse({ strength, alpha: 0.5, spread }),
          { slope: reward },
        ),
      );
    const chain = gaussianChain(toy.denoiser, schedule, rows);
    const [z0, z1] = [chain.start(0)[0]!, chain.start(1)[0]!];
    for (const [strength, mean] of [
      [1, 1.5],
      [0, 1],
    ] as const) {
      // Every step is linear, so two starts tell the law of all.
      const [a, b] = (await run(strength)).samples.map((s) => s[0]!) as [number, number];
      const gain = (b - a) / (z1 - z0);
      expect(a - gain * z0).toBeCloseTo(mean, 4);
      expect(gain ** 2).toBeCloseTo(variance, 4);
    }
    await Promise.all([toy.close(), reward.close()]);
  });
});

test('a linear reward changes ε by −noise·a·K/α, the slope of the soft value, wherever the sample is', async () => {
  const schedule = toySchedule();
  const toy = await gaussianToy(schedule);
  const reward = await pictureReward(2);
  const plain = gaussianChain(toy.denoiser, schedule, rowsOf(1));
  const chain = guided(plain, gradientOptions.parse({ alpha: 0.5, spread }), { slope: reward });
  for (const [i, { signal, noise }] of schedule.steps.entries()) {
    const k = (signal * target.variance) / (signal ** 2 * target.variance + noise ** 2);
    for (const x of [-2, 0.3]) {
      const at = [{ row: 0, state: Float32Array.of(x) }];
      const [before] = await plain.evaluate(i, at);
      const [after] = await chain.evaluate(i, at);
      expect(after![0]! - before![0]!).toBeCloseTo((-noise * 2 * k) / 0.5, 4);
    }
  }
  await Promise.all([toy.close(), reward.close()]);
});

describe('through the network', () => {
  const schedule = toySchedule();
  /** The toy's network with a reward, differentiated as one. */
  const both = async (weight: number) => {
    const toy = await gaussianToy(schedule);
    const reward = await pictureReward(weight, true);
    const op = createBuilder();
    const x = op.input('sample', 'float32', [1, 1]);
    op.output(op.reduceSumAll(op.mul(op.mul(x, x), op.f32([1, 1], [-weight]))), 'score');
    const slope = openNetworkSlope<null>(
      {
        network: toy.model,
        sample: 'sample',
        output: 'out_sample',
        dims: [1],
        packed: false,
        calls: toy.calls,
        feedsOf: (_, timestep) => ({
          rows: 1,
          asked: 1,
          guidanceScale: null,
          feeds: { timestep: i64([], [timestep]) },
        }),
      },
      schedule,
      op.toModel('reward'),
      { threads: 1 },
    );
    return { toy, reward, slope, close: () => Promise.all([toy.close(), reward.close(), slope.close()]) };
  };
  const options = (through: string) => gradientOptions.parse({ through, alpha: 0.5, spread });

  test('Gaussian data lean as by the derivative of such data, for one call', async () => {
    const { toy, reward, slope, close } = await both(0.7);
    const plain = gaussianChain(toy.denoiser, schedule, rowsOf(1), slope);
    const byData = guided(plain, options('data'), { slope: reward });
    const gradientCalls = { count: 0 };
    const byNetwork = guided(plain, options('network'), { gradientCalls });
    for (const i of schedule.steps.keys()) {
      for (const x of [-2, 0.3]) {
        const at = [{ row: 0, state: Float32Array.of(x) }];
        const [one] = await byData.evaluate(i, at);
        const before = toy.calls.count;
        const [other] = await byNetwork.evaluate(i, at);
        expect(toy.calls.count - before).toBe(1);
        expect(other![0]).toBeCloseTo(one![0]!, 5);
        expect(Math.abs(one![0]! - (await plain.evaluate(i, at))[0]![0]!)).toBeGreaterThan(1e-3);
      }
    }
    expect(gradientCalls.count).toBe(2 * schedule.steps.length);
    await close();
  });

  test('where a sample has no signal yet, its derivative is that of data', async () => {
    const { toy, reward, slope, close } = await both(0.7);
    const none = { ...schedule.steps[0]!, x0Sample: 0.2, x0Output: -1, signal: 1e-5, noise: 1 };
    const blind = { ...schedule, steps: [none, ...schedule.steps.slice(1)] };
    const plain = gaussianChain(toy.denoiser, blind, rowsOf(1), slope);
    const at = [{ row: 0, state: Float32Array.of(0.4) }];
    const [one] = await guided(plain, options('data'), { slope: reward }).evaluate(0, at);
    const [other] = await guided(plain, options('network'), {}).evaluate(0, at);
    expect(other![0]).toBeCloseTo(one![0]!, 5);
    await close();
  });

  test('a network that was not differentiated with a reward is refused by name', async () => {
    const toy = await gaussianToy(schedule);
    const reward = await pictureReward(1);
    const plain = gaussianChain(toy.denoiser, schedule, rowsOf(1));
    expect(() => guided(plain, options('network'), {})).toThrow(/No gradient of this reward/);
    expect(() => guided(plain, options('network'), { slope: reward })).toThrow(/reads letters/);
    await Promise.all([toy.close(), reward.close()]);
  });
});

describe('letters', () => {
  /** Independent positions, three letters: p₁ ⊗ p₂. */
  const p1 = [0.5, 0.3, 0.2];
  const p2 = [0.1, 0.6, 0.3];
  const law: ToyLaw = { letters: 3, length: 2, joint: p1.flatMap((a) => p2.map((b) => a * b)) };
  /** Per position and letter, in another order than the tokens: the reward's letters are tokens 2, 0, 1. */
  const weights = [0.5, -1, 0.25, 2, 0, -0.5];
  const ids = [2, 0, 1];

  const lettersReward = () => {
    const op = createBuilder();
    const x = op.input('item', 'float32', [1, 2, 3]);
    op.output(op.reduceSumAll(op.mul(x, op.f32([1, 2, 3], weights))), 'score');
    const model = { vocabulary: 4, written: ids, positions: null, alphabet: 'ACG' } as unknown as MaskedModel;
    return openMaskedSlope({ model }, [2], () => op.toModel('reward'));
  };

  test('of independent positions under a linear reward get exactly p·exp(r/α), and masks and revealed ones stay', async () => {
    const toy = await maskedToy(law);
    const reward = await lettersReward();
    const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), {
      name: 'masked-one-at-a-time',
      steps: 0,
      length: 2,
    });
    const chain = guided(maskedChain(toy.denoiser, schedule, toy.rows(1)), gradientOptions.parse({ alpha: 0.5 }), {
      slope: reward,
    });
    const [both] = await chain.evaluate(0, [{ row: 0, state: { tokens: Int32Array.of(3, 3), time: 1 } }]);
    for (const [i, p] of [p1, p2].entries()) {
      const tilted = p.map((v, token) => v * Math.exp(weights[i * 3 + ids.indexOf(token)]! / 0.5));
      const z = tilted.reduce((a, b) => a + b, 0);
      for (const [token, v] of tilted.entries()) expect(Math.exp(both![i * 4 + token]!)).toBeCloseTo(v / z, 6);
      expect(Math.exp(both![i * 4 + 3]!)).toBe(0);
    }
    const [half] = await chain.evaluate(0, [{ row: 0, state: { tokens: Int32Array.of(1, 3), time: 1 } }]);
    expect(Array.from(half!.subarray(0, 4), Math.exp)).toEqual([0, 1, 0, 0]);
    expect(half!.subarray(4)).toEqual(both!.subarray(4));
    await Promise.all([toy.close(), reward.close()]);
  });
});

test('the reward of expected letters is the value of an unfinished sequence, exact for linear rewards', async () => {
  const p = [0.5, 0.3, 0.2];
  const toy = await maskedToy({ letters: 3, length: 2, joint: p.flatMap((a) => p.map((b) => a * b)) });
  const weights = [0.5, -1, 0.25, 2, 0, -0.5];
  const op = createBuilder();
  const x = op.input('item', 'float32', [1, 2, 3]);
  op.output(op.reduceSumAll(op.mul(x, op.f32([1, 2, 3], weights))), 'score');
  const model = { vocabulary: 4, written: [0, 1, 2], positions: null, alphabet: 'ACG' } as unknown as MaskedModel;
  const reward = await openMaskedSlope({ model }, [2], () => op.toModel('reward'));
  const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), {
    name: 'masked-one-at-a-time',
    steps: 0,
    length: 2,
  });
  const chain = maskedChain(toy.denoiser, schedule, toy.rows(1));
  const score: Score = async (samples) => Float64Array.from(samples, ([a, b]) => weights[a!]! + weights[3 + b!]!);
  const at = [
    [3, 3],
    [1, 3],
    [2, 0],
  ].map((tokens) => ({ row: 0, state: { tokens: Int32Array.from(tokens), time: 1 } }));
  const values = await meanValue(chain, score, reward).values(0, at, await chain.evaluate(0, at));
  const [first, second] = [weights.slice(0, 3), weights.slice(3)].map((w) => w.reduce((s, v, k) => s + v * p[k]!, 0));
  for (const [i, expected] of [first! + second!, -1 + second!, 0.25 + 2].entries()) {
    expect(values[i]).toBeCloseTo(expected, 6);
  }
  expect(() => meanValue(chain, score, undefined)).toThrow(/finished samples only/);
  await Promise.all([toy.close(), reward.close()]);
});

describe('samples', () => {
  const schedule = toySchedule();
  const run = async (options: object, count = 12, from = 0, score = first) => {
    const toy = await gaussianToy(schedule);
    const reward = await pictureReward(0.5, true);
    const chain = gaussianChain(toy.denoiser, schedule, rowsOf(count, from));
    const done = await finish(gradient(chain, score, gradientOptions.parse({ spread, ...options }), { slope: reward }));
    await Promise.all([toy.close(), reward.close()]);
    return done.samples;
  };

  test('at strength 0 are those of the plain decoder, byte for byte', async () => {
    const toy = await gaussianToy(schedule);
    const plain = createSteering('best-of-n', { candidates: 1 });
    const work = { denoiser: toy.denoiser, schedule, rows: rowsOf(12) };
    expect(await run({ strength: 0 })).toEqual((await finish(plain.gaussian(work, first))).samples);
    await toy.close();
  });

  test('do not depend on what runs beside them, nor on a constant in the reward', async () => {
    const all = await run({});
    expect(await run({}, 3, 5)).toEqual(all.slice(5, 8));
    expect(await run({}, 12, 0, async (...asked) => (await first(...asked)).map((r) => r + 64))).toEqual(all);
  });
});

test('a reward without a gradient is refused by name', async () => {
  const toy = await gaussianToy(toySchedule());
  const steering = createSteering('gradient', {});
  expect(steering.needsGradient).toBe(true);
  expect(() => steering.gaussian({ denoiser: toy.denoiser, schedule: toySchedule(), rows: rowsOf(1) }, first)).toThrow(
    /No gradient of this reward/,
  );
  await toy.close();
});
