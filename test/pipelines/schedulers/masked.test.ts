import { describe, expect, test } from 'vitest';
import { createMaskedSchedule, parseMaskedSchedulerConfig, SEQUENCE_SAMPLERS } from '#pipelines/schedulers/index.ts';
import { moveChance } from '#pipelines/schedulers/masked-config.ts';
import type { MaskedStep } from '#pipelines/schedulers/types.ts';

const config = (json: object = {}) => parseMaskedSchedulerConfig({ _class_name: 'MaskedScheduler', ...json });
const schedule = (json: object, options: { steps: number; length: number; name?: 'masked' | 'masked-one-at-a-time' }) =>
  createMaskedSchedule(config(json), options).steps;
const rate = (step: MaskedStep) => step.reveal as number;

describe.each(SEQUENCE_SAMPLERS)('%s', (name) => {
  test('reveals everything by its end, in probability one', () => {
    for (const final_time of [0, 1e-5]) {
      const steps = schedule({ final_time }, { name, steps: 7, length: 5 });
      let masked = 5;
      for (const { reveal } of steps) masked = reveal === 'one' ? masked - 1 : masked * (1 - reveal);
      expect(masked).toBe(0);
    }
  });
});

describe('masked', () => {
  test('goes from time 1 down to the final time evenly, and asks once more there', () => {
    const steps = schedule({ final_time: 0.2 }, { steps: 4, length: 9 });
    expect(steps.map((s) => s.time!.toFixed(9))).toEqual([1, 0.8, 0.6, 0.4, 0.2].map((t) => t.toFixed(9)));
    expect(steps.map((s) => s.fill)).toEqual(['sample', 'sample', 'sample', 'sample', 'argmax']);
    expect(schedule({ final_time: 0.2, noise_removal: 'sample' }, { steps: 1, length: 9 }).at(-1)).toEqual({
      time: 0.2,
      reveal: 1,
      fill: 'sample',
    });
  });

  test('from t = ½ to ¼ reveals half, whatever eps is', () => {
    for (const eps of [1e-3, 0.3]) {
      const third = schedule({ final_time: 0, eps }, { steps: 4, length: 9 })[2]!;
      expect(third.time).toBeCloseTo(0.5, 12);
      expect(rate(third)).toBeCloseTo(0.5, 12);
    }
  });

  test('at 200 positions and 128 steps reveals as many per step as in the published account', () => {
    const steps = schedule({}, { steps: 128, length: 200 });
    let masked = 1;
    for (const step of steps.slice(0, -1)) {
      expect(200 * masked * rate(step)).toBeCloseTo(1.5625, 4);
      // Nothing new in this step: every position is revealed in another one.
      expect((1 - masked * rate(step)) ** 200).toBeCloseTo(0.21, 2);
      masked *= 1 - rate(step);
    }
    const q = rate(steps[0]!);
    expect(1 - (1 - q) ** 200 - 200 * q * (1 - q) ** 199).toBeCloseTo(0.464, 3);
    // 50 positions
    expect((1 - rate(schedule({}, { steps: 128, length: 50 })[0]!)) ** 50).toBeCloseTo(0.68, 2);
  });

  test('masks with probability (1 − eps)·t, as the log-linear noise does', () => {
    const { eps } = config();
    for (const t of [0.1, 0.5, 1])
      expect(moveChance({ eps }, t)).toBeCloseTo(1 - Math.exp(Math.log1p(-(1 - eps) * t)), 12);
  });

  test.each([0, -1, 1.5, Number.NaN])('refuses %d steps', (steps) => {
    expect(() => schedule({}, { steps, length: 4 })).toThrow(/steps were asked for/);
  });
});

test('masked-one-at-a-time has one step per position', () => {
  const steps = schedule({}, { name: 'masked-one-at-a-time', steps: 3, length: 200 });
  expect(steps.length).toBe(200);
  expect(new Set(steps.map((s) => s.reveal))).toEqual(new Set(['one']));
});

test('the configuration names the sampler, and a broken key is named', () => {
  expect(createMaskedSchedule(config({ sampler: 'masked-one-at-a-time' }), { steps: 3, length: 2 }).name).toBe(
    'masked-one-at-a-time',
  );
  expect(() => config({ noise_schedule: 'cosine' })).toThrow(/noise_schedule/);
  expect(() => config({ eps: 0 })).toThrow(/eps/);
  expect(config({ of_others: 1 })).toMatchObject({ of_others: 1, num_inference_steps: 128, final_time: 1e-5 });
});
