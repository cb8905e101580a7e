import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { bestOf, bestOfKl } from '#pipelines/bank/best-of.ts';
import { affordable, ladder } from '#pipelines/bank/budget.ts';
import { tilt } from '#pipelines/bank/tilt.ts';
import { decodingWork } from '#pipelines/decoding/index.ts';

const values = fc.uniqueArray(fc.integer({ min: -99, max: 99 }), { minLength: 16, maxLength: 40 });

describe('the ladder of extra work', () => {
  test.prop([values])(
    'gives best-of-N by its exact estimator, and nothing where there are fewer samples',
    (rewards) => {
      for (const { times, bestOf: found } of ladder([rewards], [1, 2, 8, 16, 64])) {
        expect(found).toEqual(times > rewards.length ? null : bestOf([rewards], times));
      }
    },
  );

  test.prop([values], { numRuns: 20 })('holds as much as anything of that distance can have', (rewards) => {
    for (const { times, bestOf: found, atSameDistance } of ladder([rewards], [1, 2, 4])) {
      // Without replacement the best of N strays a little more than the formula for endless samples says.
      expect(tilt([rewards], atSameDistance!.alpha).kl).toBeCloseTo(bestOfKl(times), 7);
      if (times === 1) expect(atSameDistance!.mean).toBeCloseTo(found!.mean, 9);
    }
  });

  test('never falls, and best-of-N stays below what is possible at its distance', () => {
    const rewards = Array.from({ length: 512 }, (_, i) => Math.log((i + 1) / (512 - i)));
    const rungs = ladder([rewards], [1, 2, 4, 8, 16]);
    const means = rungs.map((rung) => rung.bestOf!.mean);
    expect([...means].sort((a, b) => a - b)).toEqual(means);
    for (const rung of rungs) expect(rung.bestOf!.mean).toBeLessThanOrEqual(rung.atSameDistance!.mean + 1e-9);
  });
});

describe('what a method can afford', () => {
  test.prop([fc.integer({ min: 1, max: 40 }), fc.integer({ min: 2, max: 20 })], { numRuns: 20 })(
    'fills the calls and does not go over them',
    (times, steps) => {
      for (const [method, key] of [
        ['best-of-n', 'candidates'],
        ['smc', 'particles'],
        ['svdd-pm', 'candidates'],
      ] as const) {
        const work = (count: number) => decodingWork(method, { [key]: count }, steps)!;
        const found = affordable(work, times * steps)!;
        expect(found.denoiserCalls).toBeLessThanOrEqual(times * steps);
        expect(found.denoiserCalls).toBe(work(found.count).denoiserCalls);
        if (found.count < 256) expect(work(found.count + 1).denoiserCalls).toBeGreaterThan(times * steps);
      }
    },
  );

  test('is nothing where one is too much', () => {
    expect(affordable((count) => ({ denoiserCalls: 10 * count, rewardCalls: 0 }), 9)).toBeNull();
  });
});
