import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bestOfN } from '#pipelines/decoding/best-of-n.ts';
import { gaussianChain } from '#pipelines/decoding/gaussian-chain.ts';
import { smc, smcOptions } from '#pipelines/decoding/smc.ts';
import { svdd, svddOptions } from '#pipelines/decoding/svdd.ts';
import { guessValue, type ValueFunction } from '#pipelines/decoding/value.ts';
import { type SampleRow, sampleLoop } from '#pipelines/sampling/loop.ts';
import type { Decoded, Decoding, Score } from '#pipelines/sampling/steering.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import { exactEpsilon, exactLaw, toySchedule } from '#test/pipelines/sampling/gaussian.ts';
import { estimate, finish, gaussianToy, mean } from './toys.ts';

vi.setConfig({ testTimeout: 300_000 });
const DRAWS = 200_000;
const AT_ONCE = 20_000;

/** Data N(1, ¼), ten DDPM steps with the posterior variance; the last step adds no noise. */
const schedule = posteriorVariance(toySchedule());

/** The chain of the reference numbers ends with σ = 0. */
function posteriorVariance(s: GaussianSchedule): GaussianSchedule {
  return { ...s, steps: s.steps.map((step, i) => (i === s.steps.length - 1 ? { ...step, std: 0 } : step)) };
}

/** Gain of every step, x_{t−1} = A·x_t + …, and of x₀ in the noise that a step adds. */
const gains = schedule.steps.map((step) => step.sample + step.output * exactEpsilon(step).gain);
const sensitivity = gains.map((_, i) => gains.slice(i + 1).reduce((product, a) => product * a, 1));

let toy: Awaited<ReturnType<typeof gaussianToy>>;
beforeAll(async () => {
  toy = await gaussianToy(schedule);
});
afterAll(() => toy.close());

const rowsOf = (count: number, from = 0): SampleRow<null>[] =>
  Array.from({ length: count }, (_, k) => ({ condition: null, seed: 3, index: from + k, noiseIndex: from + k }));
const chainOf = (count: number, from = 0) => gaussianChain(toy.denoiser, schedule, rowsOf(count, from));
type ToyChain = ReturnType<typeof chainOf>;

async function many(
  run: (chain: ToyChain) => Decoding,
  draws = DRAWS,
): Promise<{ xs: number[]; logWeights: number[] }> {
  const parts: Decoded[] = [];
  for (let from = 0; from < draws; from += AT_ONCE) parts.push(await finish(run(chainOf(AT_ONCE, from))));
  return {
    xs: parts.flatMap((p) => p.samples.map((s) => s[0]!)),
    logWeights: parts.flatMap((p) => Array.from(p.logWeights ?? [])),
  };
}

const linear: Score = async (samples) => Float64Array.from(samples, (s) => s[0]!);
const quadratic: Score = async (samples) => Float64Array.from(samples, (s) => -((s[0]! - 2) ** 2));

function expectNear(xs: readonly number[], expected: number): void {
  const { mean: m, error } = estimate(xs);
  expect(Math.abs(m - expected), `${m} against ${expected}`).toBeLessThan(4 * error);
}

const variance = (xs: readonly number[]) => {
  const m = mean(xs);
  return xs.map((x) => (x - m) ** 2);
};

test('the toy is the chain of the reference numbers', () => {
  const law = exactLaw(schedule);
  expect(law.mean).toBeCloseTo(0.9747998, 6);
  expect(law.variance).toBeCloseTo(0.1516035, 6);
  expect(schedule.steps.reduce((sum, s, i) => sum + Math.abs(sensitivity[i]!) * s.std, 0)).toBeCloseTo(1.0613966, 6);
});

describe('SVDD by argmax with a linear reward', () => {
  test.each([
    [2, 1.5736287, 0.1055036],
    [10, 2.6080267, 0.0566467],
  ])(
    'of %i candidates shifts the mean by Σ|G|σ·e_M and shrinks the variance as order statistics do',
    async (candidates, m, v) => {
      const options = svddOptions.parse({ candidates, select: 'argmax' });
      const { xs } = await many(
        (chain) => svdd(chain, guessValue(chain, linear), linear, options),
        candidates === 2 ? DRAWS : 60_000,
      );
      expectNear(xs, m);
      expectNear(variance(xs), v);
    },
  );
});

describe('weights of SVDD', () => {
  // Of the chain as it is, N(mean, variance): not of the data, which ten steps do not reach.
  const { mean: m, variance: v } = exactLaw(schedule);
  const alpha = 0.5;
  const tilted = { mean: m + v / alpha, logZ: m / alpha + v / (2 * alpha * alpha) };

  test('make a linear reward exact: E[W] = Z and E[W·x] / Z is the mean of the tilted chain', async () => {
    const options = svddOptions.parse({ candidates: 3, alpha });
    const { xs, logWeights } = await many((chain) => svdd(chain, guessValue(chain, linear), linear, options));
    expectNear(logWeights.map(Math.exp), Math.exp(tilted.logZ));
    expectNear(
      xs.map((x, i) => x * Math.exp(logWeights[i]! - tilted.logZ)),
      tilted.mean,
    );
  });

  test('make a quadratic reward exact, over-confident as its value is', async () => {
    const options = svddOptions.parse({ candidates: 4, alpha });
    const { xs, logWeights } = await many((chain) => svdd(chain, guessValue(chain, quadratic), quadratic, options));
    const precision = 1 / v + 2 / alpha;
    const spread = 1 + (2 * v) / alpha;
    const logZ = -0.5 * Math.log(spread) - (m - 2) ** 2 / (alpha * spread);
    expectNear(logWeights.map(Math.exp), Math.exp(logZ));
    expectNear(
      xs.map((x, i) => x * Math.exp(logWeights[i]! - logZ)),
      (m / v + (2 * 2) / alpha) / precision,
    );
  });

  test('SMC has the same Z', async () => {
    const options = smcOptions.parse({ particles: 8, alpha, every: 2 });
    const { logWeights } = await many((chain) => smc(chain, guessValue(chain, quadratic), quadratic, options));
    const spread = 1 + (2 * v) / alpha;
    expectNear(logWeights.map(Math.exp), Math.exp(-0.5 * Math.log(spread) - (m - 2) ** 2 / (alpha * spread)));
  });
});

test('a value that is exact up to a constant leaves the choice and the weights as they are', async () => {
  const options = svddOptions.parse({ candidates: 4, alpha: 0.5 });
  const chain = chainOf(200);
  const guess = guessValue(chain, linear);
  const shifted: ValueFunction<Float32Array, Float32Array> = {
    asksNetwork: true,
    values: async (...asked) => (await guess.values(...asked)).map((value) => value + 4),
  };
  const one = await finish(svdd(chain, guess, linear, options));
  const other = await finish(svdd(chain, shifted, linear, options));
  expect(other.samples).toEqual(one.samples);
  one.logWeights!.forEach((w, i) => {
    expect(other.logWeights![i]).toBeCloseTo(w, 9);
  });
});

test('one candidate, one particle and best of one are plain sampling, byte for byte', async () => {
  const loop = sampleLoop({ denoiser: toy.denoiser, schedule, rows: rowsOf(50), keepTrajectory: false });
  let next = await loop.next();
  while (!next.done) next = await loop.next();
  const plain = next.value.samples;
  const chain = chainOf(50);
  const value = guessValue(chain, linear);
  for (const decoding of [
    svdd(chain, value, linear, svddOptions.parse({ candidates: 1 })),
    smc(chain, value, linear, smcOptions.parse({ particles: 1 })),
    bestOfN(chain, linear, { candidates: 1 }),
  ]) {
    const { samples } = await finish(decoding);
    expect(Float32Array.from(samples.map((s) => s[0]!))).toEqual(plain);
  }
});

test('screening looks at each candidate: of a linear reward, the one it leaves is the one that all would have left', async () => {
  const options = svddOptions.parse({ candidates: 4, select: 'argmax' });
  const chain = chainOf(50);
  const all = await finish(svdd(chain, guessValue(chain, linear), linear, options));
  const screened = await finish(svdd(chain, guessValue(chain, linear), linear, { ...options, screen: 1 }));
  // What the network said of the parent makes the largest state the best guess, as its own answer does.
  expect(screened.samples).toEqual(all.samples);
});

test('as α grows the law becomes the model’s own', async () => {
  const options = svddOptions.parse({ candidates: 4, alpha: 1e6 });
  const { xs } = await many((chain) => svdd(chain, guessValue(chain, linear), linear, options), 40_000);
  const law = exactLaw(schedule);
  expectNear(xs, law.mean);
  expectNear(variance(xs), law.variance);
});

test('the chosen candidate’s call is the next step’s: T·M + 1 calls for each sample', async () => {
  toy.calls.count = 0;
  const chain = chainOf(10);
  await finish(svdd(chain, guessValue(chain, linear), linear, svddOptions.parse({ candidates: 5 })));
  // Nine branched steps: the last adds no noise, so it has nothing to choose from.
  expect(toy.calls.count).toBe(10 * (9 * 5 + 1));
});
