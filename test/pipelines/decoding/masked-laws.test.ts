import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bestOfN } from '#pipelines/decoding/best-of-n.ts';
import { type MaskedAnswer, type MaskedState, maskedChain } from '#pipelines/decoding/masked-chain.ts';
import { smc, smcOptions } from '#pipelines/decoding/smc.ts';
import { svdd, svddOptions } from '#pipelines/decoding/svdd.ts';
import { completionValue, guessValue, type ValueFunction } from '#pipelines/decoding/value.ts';
import { maskedLoop } from '#pipelines/sampling/masked-loop.ts';
import type { Decoded, Decoding, DecodingStep, Score } from '#pipelines/sampling/steering.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { TOY_A, type ToyLaw } from '#test/support/masked-toy.ts';
import { estimate, finish, maskedToy, placeOf, tableReward } from './toys.ts';

/** Numbers of this file: enumerated in float64 for the same toys, apart from this code. */
const REWARD = [0, 2, 1, -1];
const Z = 1.792926;
const TARGET = [0.223099, 0.412123, 0.303223, 0.061555];
const MEAN_REWARD = new Map([
  ['2,2', 0.1],
  ['0,2', 0.4],
  ['1,2', -0.2],
  ['2,0', 1 / 3],
  ['2,1', -0.25],
]);
const SOFT_VALUE = new Map([
  ['2,2', 0.583849],
  ['0,2', 0.823215],
  ['1,2', 0.26853],
  ['2,0', 0.452832],
  ['2,1', 0.752912],
]);

vi.setConfig({ testTimeout: 300_000 });
const DRAWS = 200_000;
/** Rows that run side by side. */
const AT_ONCE = 20_000;
const oneAtATime = createMaskedSchedule(parseMaskedSchedulerConfig({}), {
  name: 'masked-one-at-a-time',
  steps: 0,
  length: 2,
});

const known = (table: ReadonlyMap<string, number>): ValueFunction<MaskedState, MaskedAnswer> => ({
  asksNetwork: false,
  values: async (_, at) => Float64Array.from(at, ({ state }) => table.get(state.tokens.join())!),
});

let toy: Awaited<ReturnType<typeof maskedToy>>;
beforeAll(async () => {
  toy = await maskedToy(TOY_A);
});
afterAll(() => toy.close());

function lawOf(samples: readonly (Int32Array | Float32Array)[], size: number, letters: number): number[] {
  const law = new Array<number>(size).fill(0);
  for (const s of samples) law[placeOf(letters, s as Int32Array)]! += 1 / samples.length;
  return law;
}

function expectLaw(samples: Decoded['samples'], expected: readonly number[], letters: number): void {
  const law = lawOf(samples, expected.length, letters);
  for (const [n, p] of expected.entries()) {
    expect(Math.abs(law[n]! - p), `sequence ${n}: ${law[n]} against ${p}`).toBeLessThan(
      4 * Math.sqrt((p * (1 - p)) / samples.length) + 1e-6,
    );
  }
}

/** E[W·1(x = n)] / Z against the target, and E[W] against Z, each within four standard errors. */
function expectTarget({ samples, logWeights }: Decoded, letters = 2): void {
  const w = Float64Array.from(logWeights!, Math.exp);
  const z = estimate(w);
  expect(Math.abs(z.mean - Z), `E[W] = ${z.mean}`).toBeLessThan(4 * z.error);
  for (const [n, p] of TARGET.entries()) {
    const part = estimate(w.map((v, i) => (placeOf(letters, samples[i] as Int32Array) === n ? v : 0) / Z));
    expect(Math.abs(part.mean - p), `sequence ${n}: ${part.mean} against ${p}`).toBeLessThan(4 * part.error);
  }
}

const chainOf = (rows: number, from = 0) => maskedChain(toy.denoiser, oneAtATime, toy.rows(rows, 7, from));
type ToyChain = ReturnType<typeof chainOf>;

/** Many rows, some at a time. */
async function many(run: (chain: ToyChain) => Decoding, chain = chainOf): Promise<Decoded & { steps: DecodingStep[] }> {
  const parts: (Decoded & { steps: readonly DecodingStep[] })[] = [];
  for (let from = 0; from < DRAWS; from += AT_ONCE) parts.push(await finish(run(chain(AT_ONCE, from))));
  const joined = (of: (part: Decoded) => Float64Array) => Float64Array.from(parts.flatMap((p) => Array.from(of(p))));
  return {
    samples: parts.flatMap((p) => p.samples),
    rewards: joined((p) => p.rewards),
    logWeights: parts[0]!.logWeights === null ? null : joined((p) => p.logWeights!),
    steps: [...parts[0]!.steps],
  };
}

describe('SVDD that screens candidates by what the network said of their parent', () => {
  const run = (select: 'categorical' | 'argmax', count?: number) => {
    const { score, calls } = tableReward(TOY_A, REWARD);
    const options = { ...svddOptions.parse({ candidates: 6, select, alpha: 1, sharedReveal: false }), screen: 2 };
    const decode = (chain: ToyChain) => svdd(chain, guessValue(chain, score), score, options);
    return { calls, done: count === undefined ? many(decode) : finish(decode(chainOf(count))) };
  };

  test('keeps the weighted law exact', async () => {
    expectTarget(await run('categorical').done);
  });

  test.each(['categorical', 'argmax'] as const)('by %s asks the network about two of six', async (select) => {
    toy.calls.count = 0;
    const { done } = run(select, 500);
    expect((await done).logWeights === null).toBe(select === 'argmax');
    // The start, and at most two places after the first letter; equal ones once.
    expect(toy.calls.count).toBeGreaterThan(500 * 2);
    expect(toy.calls.count).toBeLessThanOrEqual(500 * 3);
  });
});

describe('SVDD of the enumerable masked model', () => {
  const values = {
    exact: () => known(SOFT_VALUE),
    'best guess': (chain: ToyChain, score: Score) => guessValue(chain, score),
    mean: () => known(MEAN_REWARD),
  };

  test.each([
    ['exact', 2, 'categorical', [0.351798, 0.182831, 0.248835, 0.216536]],
    ['exact', 2, 'argmax', [0.386667, 0.27125, 0.173333, 0.16875]],
    ['exact', 4, 'categorical', [0.299895, 0.276848, 0.281246, 0.142012]],
    ['exact', 4, 'argmax', [0.297304, 0.557334, 0.073696, 0.071666]],
    ['best guess', 2, 'categorical', [0.409168, 0.159804, 0.266675, 0.164353]],
    ['best guess', 2, 'argmax', [0.425333, 0.169875, 0.313667, 0.091125]],
    ['best guess', 4, 'categorical', [0.374792, 0.22491, 0.310369, 0.08993]],
    ['best guess', 4, 'argmax', [0.281873, 0.269818, 0.43959, 0.008719]],
    ['mean', 4, 'categorical', [0.340444, 0.230835, 0.317471, 0.111249]],
  ] as const)('with %s values, %i candidates and %s has the enumerated law', async (kind, candidates, select, law) => {
    const { score } = tableReward(TOY_A, REWARD);
    const options = svddOptions.parse({ candidates, select, alpha: 1, sharedReveal: false });
    const done = await many((chain) => svdd(chain, values[kind](chain, score), score, options));
    expectLaw(done.samples, law, 2);
    if (select === 'categorical') expectTarget(done);
    else expect(done.logWeights).toBeNull();
  });

  test('with shared reveals, and with random completions, weights are as exact', async () => {
    const { score } = tableReward(TOY_A, REWARD);
    const options = svddOptions.parse({ candidates: 3, alpha: 1 });
    expectTarget(await many((chain) => svdd(chain, known(MEAN_REWARD), score, options)));
    const random = (chain: ToyChain) => completionValue(chain, score, { alpha: 1, draws: 2 });
    expectTarget(await many((chain) => svdd(chain, random(chain), score, options)));
  });

  test('that branches the first step only has weights as exact', async () => {
    const { score } = tableReward(TOY_A, REWARD);
    const options = svddOptions.parse({ candidates: 4, alpha: 1, branchTo: 0.5, sharedReveal: false });
    const done = await many((chain) => svdd(chain, known(SOFT_VALUE), score, options));
    expectTarget(done);
    expect(done.steps.map((s) => s.values.some((v) => v.length > 0))).toEqual([true, false]);
  });

  test('with one candidate is plain sampling, byte for byte, with W = exp(r/α)', async () => {
    const { score } = tableReward(TOY_A, REWARD);
    const options = svddOptions.parse({ candidates: 1, alpha: 1 });
    const done = await finish(svdd(chainOf(500), guessValue(chainOf(500), score), score, options));
    expect(done.samples).toEqual(await plain(500));
    done.rewards.forEach((r, i) => {
      expect(done.logWeights![i]).toBe(r);
    });
  });
});

async function plain(count: number): Promise<Int32Array[]> {
  const loop = maskedLoop(toy.denoiser, oneAtATime, toy.rows(count));
  for (;;) {
    const next = await loop.next();
    if (next.done) return next.value;
  }
}

describe('SVDD of one letter, q = (.5, .3, .2), r = (0, 1, 2)', () => {
  const TOY_B: ToyLaw = { letters: 3, length: 1, joint: [0.5, 0.3, 0.2] };
  const single = { ...oneAtATime, steps: oneAtATime.steps.slice(0, 1) };

  test.each([
    [1, [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]],
    [2, [0.354523, 0.341591, 0.303886], [0.25, 0.39, 0.36]],
    [4, [0.261558, 0.337852, 0.40059], [0.0625, 0.3471, 0.5904]],
    [10, [0.207671, 0.314343, 0.477986], [0.000977, 0.106398, 0.892626]],
    [20, [0.192379, 0.303325, 0.504296], null],
  ])(
    'with %i candidates has the law of self-normalised sampling; argmax, that of the largest',
    async (candidates, law, largest) => {
      const b = await maskedToy(TOY_B);
      const { score } = tableReward(TOY_B, [0, 1, 2]);
      const chain = maskedChain(b.denoiser, single, b.rows(DRAWS));
      const none = known(new Map());
      const run = (select: string) =>
        finish(svdd(chain, none, score, svddOptions.parse({ candidates, select, alpha: 1 })));
      expectLaw((await run('categorical')).samples, law, 3);
      if (largest) expectLaw((await run('argmax')).samples, largest, 3);
      await b.close();
    },
  );
});

describe('sequential Monte Carlo', () => {
  test.each([
    [2, 'difference', 'systematic'],
    [4, 'difference', 'ssp'],
    [4, 'max', 'systematic'],
    [4, 'sum', 'systematic'],
    [8, 'difference', 'systematic'],
  ] as const)(
    'of %i particles, %s potential, %s resampling: E[Ẑ] = Z and the weighted law is the target',
    async (particles, potential, resampling) => {
      const { score } = tableReward(TOY_A, REWARD);
      const chain = chainOf(DRAWS);
      const options = smcOptions.parse({ particles, potential, resampling, alpha: 1, threshold: 0.9, output: 'all' });
      const all = await finish(smc(chain, guessValue(chain, score), score, options));
      // Particles of a population depend on one another: the mean over a population is one draw.
      const groups = (f: (i: number) => number) =>
        Array.from({ length: DRAWS / particles }, (_, g) => {
          let sum = 0;
          for (let k = 0; k < particles; k++) sum += f(g * particles + k) / particles;
          return sum;
        });
      const z = estimate(groups((i) => Math.exp(all.logWeights![i]!)));
      expect(Math.abs(z.mean - Z)).toBeLessThan(4 * z.error);
      for (const [n, p] of TARGET.entries()) {
        const part = estimate(
          groups((i) => (placeOf(2, all.samples[i] as Int32Array) === n ? Math.exp(all.logWeights![i]!) : 0)),
        );
        expect(Math.abs(part.mean / Z - p)).toBeLessThan((4 * part.error) / Z);
      }
      expect(all.steps[0]!.chosen.some((a, i) => a !== i)).toBe(true);
    },
  );

  test('that keeps one of each population keeps its Ẑ as the weight', async () => {
    const { score } = tableReward(TOY_A, REWARD);
    const options = smcOptions.parse({ particles: 4, alpha: 1 });
    const drawn = await many((chain) => smc(chain, guessValue(chain, score), score, options));
    expect(drawn.samples).toHaveLength(DRAWS / 4);
    expectTarget(drawn);
  });

  test('of one particle is plain sampling, byte for byte', async () => {
    const { score } = tableReward(TOY_A, REWARD);
    const chain = chainOf(500);
    const done = await finish(smc(chain, guessValue(chain, score), score, smcOptions.parse({ particles: 1 })));
    expect(done.samples).toEqual(await plain(500));
  });
});

test('best of one is plain sampling, byte for byte; best of four is the best of four plain samples', async () => {
  const { score } = tableReward(TOY_A, REWARD);
  const samples = await plain(400);
  expect((await finish(bestOfN(chainOf(400), score, { candidates: 1 }))).samples).toEqual(samples);
  const best = await finish(bestOfN(chainOf(400), score, { candidates: 4 }));
  const rewards = await score(samples, []);
  best.rewards.forEach((r, g) => {
    expect(r).toBe(Math.max(...rewards.subarray(4 * g, 4 * g + 4)));
  });
});

describe('a constant added to the reward', () => {
  test.each(['svdd', 'svdd argmax', 'smc', 'best-of-n'])('changes no sample of %s', async (method) => {
    const run = async (constant: number) => {
      const { score } = tableReward(
        TOY_A,
        REWARD.map((r) => r + constant),
      );
      const chain = chainOf(1000);
      const value = guessValue(chain, score);
      if (method === 'smc') return finish(smc(chain, value, score, smcOptions.parse({ particles: 4, alpha: 0.5 })));
      if (method === 'best-of-n') return finish(bestOfN(chain, score, { candidates: 4 }));
      const select = method === 'svdd' ? 'categorical' : 'argmax';
      return finish(svdd(chain, value, score, svddOptions.parse({ candidates: 4, alpha: 0.5, select })));
    };
    expect((await run(64)).samples).toEqual((await run(0)).samples);
  });
});

test('a row’s sample does not depend on the rows beside it', async () => {
  const { score } = tableReward(TOY_A, REWARD);
  const options = svddOptions.parse({ candidates: 4, alpha: 1 });
  const run = async (rows: ReturnType<typeof toy.rows>) => {
    const chain = maskedChain(toy.denoiser, oneAtATime, rows);
    return (await finish(svdd(chain, guessValue(chain, score), score, options))).samples;
  };
  const all = await run(toy.rows(9));
  expect(await run([...toy.rows(9)].reverse())).toEqual([...all].reverse());
  expect(await run(toy.rows(2, 7, 4))).toEqual(all.slice(4, 6));
});

test('equal candidates are asked about once, and the chosen one’s answer is the next step’s', async () => {
  const rows = 100;
  const { score } = tableReward(TOY_A, REWARD);
  const chain = chainOf(rows);
  toy.calls.count = 0;
  await finish(svdd(chain, guessValue(chain, score), score, svddOptions.parse({ candidates: 64, alpha: 1 })));
  // One call at the start; then each of at most two letters at the shared position.
  expect(toy.calls.count).toBeLessThanOrEqual(rows * 3);
});
