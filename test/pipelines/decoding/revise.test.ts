import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bestOfN } from '#pipelines/decoding/best-of-n.ts';
import type { Chain } from '#pipelines/decoding/chain.ts';
import { gaussianChain } from '#pipelines/decoding/gaussian-chain.ts';
import { maskedChain } from '#pipelines/decoding/masked-chain.ts';
import { type RevisionCounts, revise, reviseOptions } from '#pipelines/decoding/revise.ts';
import { guessValue } from '#pipelines/decoding/value.ts';
import type { Clean, Score } from '#pipelines/sampling/steering.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { toySchedule } from '#test/pipelines/sampling/gaussian.ts';
import type { ToyLaw } from '#test/support/masked-toy.ts';
import { finish, gaussianToy, maskedToy, mean } from './toys.ts';

/** Six positions of three letters, all equally likely. */
const law: ToyLaw = { letters: 3, length: 6, joint: new Array(3 ** 6).fill(1 / 3 ** 6) };
const schedule = toySchedule();
let gaussian: Awaited<ReturnType<typeof gaussianToy>>;
let masked: Awaited<ReturnType<typeof maskedToy>>;
beforeAll(async () => {
  gaussian = await gaussianToy(schedule);
  masked = await maskedToy(law);
});
afterAll(() => Promise.all([gaussian.close(), masked.close()]));

const SCHEDULES = {
  'one at a time': createMaskedSchedule(parseMaskedSchedulerConfig({}), {
    name: 'masked-one-at-a-time',
    steps: 0,
    length: 6,
  }),
  'several at a time': createMaskedSchedule(parseMaskedSchedulerConfig({}), { name: 'masked', steps: 8, length: 6 }),
};
const lettersOf = (count: number, from = 0, how: keyof typeof SCHEDULES = 'one at a time') =>
  maskedChain(masked.denoiser, SCHEDULES[how], masked.rows(count, 7, from));
const picturesOf = (count: number) =>
  gaussianChain(
    gaussian.denoiser,
    schedule,
    Array.from({ length: count }, (_, k) => ({ condition: null, seed: 3, index: k, noiseIndex: k })),
  );
/** How many letters are the first one. */
const count: Score = async (samples) => Float64Array.from(samples, (s) => s.filter((k) => k === 0).length);
const largest: Score = async (samples) => Float64Array.from(samples, (s) => s[0]!);

const run = <S, E>(chain: Chain<S, E>, options: object, score: Score, given?: readonly Clean[]) =>
  finish(revise(chain, (own) => guessValue(own, score), score, reviseOptions.parse(options), given));

const sums = ({ improved, worsened, unchanged }: RevisionCounts) => improved + worsened + unchanged;

describe('samples stay as plain sampling made them, byte for byte', () => {
  test.each([{ rounds: 0 }, { from: 0, to: 0 }])('with %o', async (options) => {
    const letters = await finish(bestOfN(lettersOf(20), count, { candidates: 1 }));
    const same = await run(lettersOf(20), options, count);
    expect(same.samples).toEqual(letters.samples);
    expect(same.whole).toEqual({ improved: 0, worsened: 0, unchanged: 1, change: 0 });
    const pictures = await finish(bestOfN(picturesOf(20), largest, { candidates: 1 }));
    expect((await run(picturesOf(20), options, largest)).samples).toEqual(pictures.samples);
  });
});

describe('greedy revisions', () => {
  test.each(['one at a time', 'several at a time'] as const)(
    'of letters revealed %s never make a sample worse, and help',
    async (how) => {
      let before = await run(lettersOf(60, 0, how), { rounds: 0 }, count);
      const started = mean(before.rewards);
      for (const rounds of [1, 2, 5]) {
        const after = await run(lettersOf(60, 0, how), { rounds, from: 0.5, to: 0.5 }, count);
        expect(after.rewards.every((r, row) => r >= before.rewards[row]!)).toBe(true);
        expect(Array.from(after.rewards)).toEqual(Array.from(await count(after.samples, [])));
        before = after;
      }
      expect(before.rounds).toHaveLength(5);
      expect(before.rounds.every((r) => r.worsened === 0 && Math.abs(sums(r) - 1) < 1e-12)).toBe(true);
      expect(before.whole.change).toBeCloseTo(mean(before.rewards) - started, 12);
      expect(before.whole.change).toBeGreaterThan(1);
    },
  );

  test('of pictures help as well', async () => {
    const { whole, rewards, samples } = await run(picturesOf(60), {}, largest);
    expect(whole.worsened).toBe(0);
    expect(whole.change).toBeGreaterThan(0.2);
    expect(Array.from(rewards)).toEqual(samples.map((s) => s[0]));
  });
});

test('Metropolis accepts worse samples at a high temperature; shares still add up', async () => {
  const { rounds, whole } = await run(lettersOf(80), { accept: 'metropolis', alpha: 50 }, count);
  expect(rounds.some((r) => r.worsened > 0)).toBe(true);
  for (const r of [...rounds, whole]) expect(sums(r)).toBeCloseTo(1, 12);
});

describe('locked positions never change', () => {
  test.each(['one at a time', 'several at a time'] as const)('in letters revealed %s', async (how) => {
    const before = (await run(lettersOf(40, 0, how), { rounds: 0 }, count)).samples;
    const locked = { locked: '1-2, 5', rounds: 4, from: 1, to: 1, accept: 'metropolis', alpha: 50 };
    const after = (await run(lettersOf(40, 0, how), locked, count)).samples;
    for (const [row, sample] of after.entries()) {
      for (const i of [0, 1, 4]) expect(sample[i]).toBe(before[row]![i]);
    }
    expect(after).not.toEqual(before);
  });

  test('nor do the numbers of a picture', async () => {
    const before = (await run(picturesOf(20), { rounds: 0 }, largest)).samples;
    const after = await run(picturesOf(20), { locked: '1', accept: 'metropolis', alpha: 50 }, largest);
    expect(after.samples).toEqual(before);
  });

  test('nor do letters that were given', async () => {
    const rows = masked.rows(20).map((row) => ({ ...row, start: Int32Array.of(1, 3, 2, 3, 3, 3) }));
    const chain = maskedChain(masked.denoiser, SCHEDULES['one at a time'], rows);
    const { samples } = await run(chain, { from: 1, to: 1 }, count);
    expect(samples.every((s) => s[0] === 1 && s[2] === 2 && !s.includes(3))).toBe(true);
  });

  test('and what is no position is refused', async () => {
    await expect(run(lettersOf(1), { locked: '5-2' }, count)).rejects.toThrow(/"5-2" is not a position/);
  });
});

test('given samples are revised instead of new ones', async () => {
  const given = [Int32Array.of(0, 0, 0, 0, 0, 0), Int32Array.of(2, 2, 2, 2, 2, 2)];
  const { samples, rewards, whole } = await run(lettersOf(2), {}, count, given);
  expect(samples[0]).toEqual(given[0]);
  expect(rewards[1]).toBeGreaterThan(0);
  expect(whole).toMatchObject({ improved: 0.5, unchanged: 0.5 });
});

test('a constant added to the reward changes no byte, nor does what runs beside a row', async () => {
  const all = await run(lettersOf(10), { rounds: 3 }, count);
  const shifted = await run(lettersOf(10), { rounds: 3 }, async (...asked) =>
    (await count(...asked)).map((r) => r + 64),
  );
  expect(shifted.samples).toEqual(all.samples);
  expect((await run(lettersOf(3, 4), { rounds: 3 }, count)).samples).toEqual(all.samples.slice(4, 7));
});

describe('a guard', () => {
  const counts = async (guard: number, candidates: number) =>
    (await run(lettersOf(60), { rounds: 3, candidates, alpha: 0.5, guard }, count)).whole;

  test('turns down what guidance favoured by more, and less the higher it is', async () => {
    const [none, wide, narrow] = [await counts(0, 8), await counts(6, 8), await counts(1e-6, 8)];
    expect(narrow.improved).toBeLessThan(wide.improved);
    expect(wide.improved).toBeLessThanOrEqual(none.improved);
    expect(narrow.improved).toBeLessThan(0.2);
    expect(none.improved).toBeGreaterThan(0.5);
  });

  test('lets through all that the model made by itself', async () => {
    expect(await counts(1e-6, 1)).toEqual(await counts(0, 1));
  });
});

describe('a part of a picture that is locked', () => {
  const dims = [3, 4, 4];
  const denoiser = { dims, predict: async (x: Float32Array) => x.map((v) => 0.5 * v) };
  const chain = () => gaussianChain(denoiser, schedule, [{ condition: null, seed: 3, index: 0, noiseIndex: 0 }]);
  const given = [new Float32Array(48).map((_, i) => Math.sin(i))];
  const revised = async (lockedRegion: string) =>
    (
      await run(
        chain(),
        { rounds: 2, from: 0.5, to: 0.5, accept: 'metropolis', alpha: 1e6, lockedRegion },
        largest,
        given,
      )
    ).samples[0]!;

  test('stays as it is, and nothing else does', async () => {
    const sample = await revised('0.5,0,1,0.5');
    for (let i = 0; i < 48; i++) {
      const [x, y] = [i % 4, Math.floor(i / 4) % 4];
      if (x >= 2 && y < 2) expect(sample[i]).toBeCloseTo(given[0]![i]!, 6);
      else expect(sample[i]).not.toBe(given[0]![i]);
    }
  });

  test.each(['0.5,0,1', '0.5,0,0.5,1', '0,0,2,1', 'left'])('is refused written as %s', async (region) => {
    await expect(revised(region)).rejects.toMatchObject({ code: 'decode/option' });
  });

  test('is refused for sequences', async () => {
    await expect(run(lettersOf(1), { lockedRegion: '0,0,1,1' }, count)).rejects.toThrow(/Only pictures/);
  });
});
