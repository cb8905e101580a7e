import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beam, beamOptions } from '#pipelines/decoding/beam.ts';
import { maskedChain } from '#pipelines/decoding/masked-chain.ts';
import { expectedLargest, provenValue, rankByProgress } from '#pipelines/decoding/progress.ts';
import { completionValue, guessValue } from '#pipelines/decoding/value.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { TOY_A } from '#test/support/masked-toy.ts';
import { finish, maskedToy, mean, tableReward } from './toys.ts';

test.each([
  [1, 0],
  [2, 0.5641896],
  [4, 1.0293754],
  [5, 1.1629645],
  [8, 1.4236],
  [40, 2.1607772],
])('the largest of %i standard normals is %f on average', (k, expected) => {
  expect(expectedLargest(k)).toBeCloseTo(expected, 5);
});

describe('progress', () => {
  test('prefers more variance where means are equal and several ways on are tried, and nothing where one is', () => {
    const [calm, wild] = [Float64Array.of(1, 1, 1, 1), Float64Array.of(0, 2, 0, 2)];
    const of = (rewards: Float64Array, k: number) => provenValue(rewards, expectedLargest(k));
    expect(of(wild, 1)).toBeCloseTo(of(calm, 1), 12);
    expect(of(wild, 4)).toBeCloseTo(1 + 1.0293754, 5);
    expect(of(calm, 4)).toBe(1);
  });

  test('along a path adds up to what its end is worth more than its start', () => {
    const along = [0.5, -1, 0.25, 2];
    const gains = along.slice(1).map((v, i) => rankByProgress(0, v, along[i]!, 1));
    expect(gains.reduce((sum, g) => sum + g, 0)).toBeCloseTo(1.5, 12);
  });
});

describe('a beam of letters', () => {
  const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), {
    name: 'masked-one-at-a-time',
    steps: 0,
    length: 2,
  });
  const { score } = tableReward(TOY_A, [0, 2, 1, -1]);
  let toy: Awaited<ReturnType<typeof maskedToy>>;
  beforeAll(async () => {
    toy = await maskedToy(TOY_A);
  });
  afterAll(() => toy.close());
  const run = (options: object) => {
    const chain = maskedChain(toy.denoiser, schedule, toy.rows(300));
    const value = completionValue(chain, score, { alpha: 0.5, draws: 6 });
    return finish(beam(chain, value, score, beamOptions.parse(options)));
  };

  test('that are of one parent ranks them by progress as by the mean of their completions', async () => {
    // Nearly the mean: at a large temperature the value of completions is theirs.
    const one = { width: 1, branch: 4 };
    const chain = maskedChain(toy.denoiser, schedule, toy.rows(300));
    const value = completionValue(chain, score, { alpha: 1e6, draws: 6 });
    const search = (options: object) => finish(beam(chain, value, score, beamOptions.parse({ ...one, ...options })));
    const [plain, ranked] = [await search({}), await search({ progress: 0.5, prover: 1 })];
    expect(mean(ranked.rewards)).toBeCloseTo(mean(plain.rewards), 1);
    const same = ranked.samples.filter((s, i) => s.join() === plain.samples[i]!.join());
    expect(same.length).toBeGreaterThan(270);
  });

  test('finds no less by it, and tells values as they are', async () => {
    const [plain, ranked] = [await run({ width: 2, branch: 2 }), await run({ width: 2, branch: 2, progress: 0.5 })];
    expect(mean(ranked.rewards)).toBeGreaterThan(mean(plain.rewards) - 0.1);
    expect(ranked.steps[0]!.values).toEqual(plain.steps[0]!.values);
  });

  test('asks for values of completions', async () => {
    const chain = maskedChain(toy.denoiser, schedule, toy.rows(1));
    const asked = beam(chain, guessValue(chain, score), score, beamOptions.parse({ progress: 0.5 }));
    await expect(finish(asked)).rejects.toMatchObject({ code: 'decode/option' });
  });
});
