import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beam, beamOptions, beamWork, widthAt } from '#pipelines/decoding/beam.ts';
import { bestOfN } from '#pipelines/decoding/best-of-n.ts';
import { gaussianChain } from '#pipelines/decoding/gaussian-chain.ts';
import { maskedChain } from '#pipelines/decoding/masked-chain.ts';
import { svdd, svddOptions } from '#pipelines/decoding/svdd.ts';
import { guessValue } from '#pipelines/decoding/value.ts';
import type { Score } from '#pipelines/sampling/steering.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { toySchedule } from '#test/pipelines/sampling/gaussian.ts';
import { TOY_A } from '#test/support/masked-toy.ts';
import { estimate, finish, gaussianToy, maskedToy, tableReward } from './toys.ts';

/** Ten steps; the last one adds no noise. */
const base = toySchedule();
const schedule = { ...base, steps: base.steps.map((s, i) => (i === 9 ? { ...s, std: 0 } : s)) };
const oneAtATime = createMaskedSchedule(parseMaskedSchedulerConfig({}), {
  name: 'masked-one-at-a-time',
  steps: 0,
  length: 2,
});
let gaussian: Awaited<ReturnType<typeof gaussianToy>>;
let masked: Awaited<ReturnType<typeof maskedToy>>;
beforeAll(async () => {
  gaussian = await gaussianToy(schedule);
  masked = await maskedToy(TOY_A);
});
afterAll(() => Promise.all([gaussian.close(), masked.close()]));

const gaussianOf = (count: number, from = 0) =>
  gaussianChain(
    gaussian.denoiser,
    schedule,
    Array.from({ length: count }, (_, k) => ({ condition: null, seed: 5, index: from + k, noiseIndex: from + k })),
  );
const linear: Score = async (samples) => Float64Array.from(samples, (s) => s[0]!);
const search = (count: number, options: object, score = linear, from = 0) => {
  const chain = gaussianOf(count, from);
  return finish(beam(chain, guessValue(chain, score), score, beamOptions.parse(options)));
};
const one = { width: 1, branch: 1 };

test('a beam of one, of one candidate, is plain sampling, byte for byte', async () => {
  const plain = await finish(bestOfN(gaussianOf(30), linear, { candidates: 1 }));
  expect((await search(30, one)).samples).toEqual(plain.samples);
  const { score } = tableReward(TOY_A, [0, 2, 1, -1]);
  const chain = () => maskedChain(masked.denoiser, oneAtATime, masked.rows(50));
  const letters = await finish(bestOfN(chain(), score, { candidates: 1 }));
  const own = chain();
  const { samples } = await finish(beam(own, guessValue(own, score), score, beamOptions.parse(one)));
  expect(samples).toEqual(letters.samples);
});

test('a beam of one with more candidates is value-based decoding by argmax', async () => {
  const chain = gaussianOf(30);
  const options = svddOptions.parse({ candidates: 5, select: 'argmax' });
  const greedy = await finish(svdd(chain, guessValue(chain, linear), linear, options));
  const { samples, rewards } = await search(30, { width: 1, branch: 5 });
  expect(samples).toEqual(greedy.samples);
  expect(rewards).toEqual(greedy.rewards);
});

describe('calls of the network', () => {
  test.each([
    // The start; nine branchings of 3·2 candidates, the last of which still has a step to go.
    [{ width: 3, branch: 2 }, 1 + 9 * 6],
    // Branchings at 0, 3 and 6 with 6 candidates, and 3 states at the other steps but the last.
    [{ width: 3, branch: 2, every: 3 }, 1 + 3 * 6 + 6 * 3],
    // Widths 8, 6, 5, 3, 3, then 2: drawn are 16 at first, then two for each state kept before.
    [{ width: 2, branch: 2, oversample: 4 }, 1 + 16 + 2 * (8 + 6 + 5 + 3 + 3 + 2 + 2 + 2)],
  ])('of a beam with %o are %i', async (options, calls) => {
    gaussian.calls.count = 0;
    await search(4, options);
    expect(gaussian.calls.count).toBe(4 * calls);
  });

  test.each([{ width: 3, branch: 2 }, { width: 2, branch: 3, every: 4, oversample: 5 }, one])(
    'and of the reward are known before: %o',
    async (given) => {
      const options = beamOptions.parse(given);
      const rows = [{ condition: null, seed: 5, index: 0, noiseIndex: 0 }];
      const noisy = { ...base, steps: base.steps.map((s) => ({ ...s, std: 0.1 })) };
      const chain = gaussianChain(gaussian.denoiser, noisy, rows);
      let rewards = 0;
      const counted: Score = (samples, of) => {
        rewards += samples.length;
        return linear(samples, of);
      };
      gaussian.calls.count = 0;
      await finish(beam(chain, guessValue(chain, counted), counted, options));
      expect(beamWork(options, 10)).toEqual({ denoiserCalls: gaussian.calls.count, rewardCalls: rewards });
    },
  );

  test('in sequences, equal candidates are asked about once', async () => {
    const { score } = tableReward(TOY_A, [0, 2, 1, -1]);
    const chain = maskedChain(masked.denoiser, oneAtATime, masked.rows(20));
    masked.calls.count = 0;
    await finish(beam(chain, guessValue(chain, score), score, beamOptions.parse({ width: 8, branch: 8 })));
    expect(masked.calls.count).toBeLessThanOrEqual(20 * 3);
  });
});

test('the width falls by one factor from where it begins to its own', () => {
  const options = beamOptions.parse({ width: 2, oversample: 4 });
  expect(Array.from({ length: 8 }, (_, i) => widthAt(i, 10, options))).toEqual([8, 6, 5, 3, 3, 2, 2, 2]);
  expect(widthAt(0, 10, beamOptions.parse({ width: 3 }))).toBe(3);
});

test('wider beams, and beams that begin wider, find better samples on average', async () => {
  const means = [];
  for (const options of [one, { width: 1 }, { width: 2 }, { width: 4 }, { width: 4, oversample: 4 }]) {
    means.push(estimate((await search(200, options)).rewards));
  }
  for (const [k, { mean, error }] of means.entries()) {
    if (k > 0) expect(mean - means[k - 1]!.mean).toBeGreaterThan(2 * Math.hypot(error, means[k - 1]!.error));
  }
});

test('a constant added to the reward changes no byte, nor does what runs beside a row', async () => {
  const options = { width: 3, oversample: 2, every: 2 };
  const coarse: Score = async (samples) => Float64Array.from(samples, (s) => Math.round(s[0]! * 1024) / 1024);
  const all = await search(8, options, coarse);
  const shifted = await search(8, options, async (...asked) => (await coarse(...asked)).map((r) => r + 64));
  expect(shifted.samples).toEqual(all.samples);
  expect((await search(2, options, coarse, 4)).samples).toEqual(all.samples.slice(4, 6));
});
