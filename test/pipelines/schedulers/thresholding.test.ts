import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { thresholdSample } from '#pipelines/schedulers/thresholding.ts';

function thresholded(values: readonly number[], ratio: number, max: number): number[] {
  const x0 = Float64Array.from(values);
  thresholdSample(x0, { ratio, max });
  return [...x0];
}

describe('dynamic thresholding', () => {
  test('holds a sample to its quantile and scales it to ±1', () => {
    // |x| sorted: 0.5, 1, 2, 3, 4: the median is 2, three quarters are 3.
    expect(thresholded([-4, 0.5, 2, -1, 3], 0.5, 10)).toEqual([-1, 0.25, 1, -0.5, 1]);
    expect(thresholded([-4, 0.5, 3, -1, 2], 0.75, 10)).toEqual([-1, 0.5 / 3, 1, -1 / 3, 2 / 3]);
    // Between two order statistics the quantile is linear: 0.9 of the way along five values is 3.6.
    expect(thresholded([4, 3, 2, 1, 0.5], 0.9, 10)[1]).toBeCloseTo(3 / 3.6, 12);
  });

  test('with max 1 is a clamp to ±1, and leaves a sample inside ±1 as it is', () => {
    expect(thresholded([-4, 0.5, 2], 0.995, 1)).toEqual([-1, 0.5, 1]);
    expect(thresholded([-0.9, 0.5, 0.1], 0.995, 3)).toEqual([-0.9, 0.5, 0.1]);
  });

  const values = fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 40 });
  const share = fc.double({ min: 0.5, max: 1, noNaN: true });
  prop.prop([values, share, fc.double({ min: 1, max: 30, noNaN: true })])(
    'stays in ±1, keeps signs and order, and does not depend on the order of elements',
    (x, ratio, max) => {
      const y = thresholded(x, ratio, max);
      for (const [i, v] of y.entries()) {
        expect(Math.abs(v)).toBeLessThanOrEqual(1);
        expect(v * x[i]!).toBeGreaterThanOrEqual(0);
        for (const [j, w] of y.entries()) if (x[i]! <= x[j]!) expect(v).toBeLessThanOrEqual(w);
      }
      expect(thresholded(x.toReversed(), ratio, max).reverse()).toEqual(y);
    },
  );

  test('is read from the configuration and goes before clipping', () => {
    const json = { _class_name: 'DDPMScheduler', thresholding: true, sample_max_value: 1.5, clip_sample: true };
    const schedule = createGaussianSchedule(parseSchedulerConfig(json), { steps: 4, eta: 1 });
    expect(schedule).toMatchObject({ dynamicThreshold: { ratio: 0.995, max: 1.5 }, clipSampleRange: null });
    const plain = createGaussianSchedule(parseSchedulerConfig({ ...json, thresholding: false }), { steps: 4, eta: 1 });
    expect(plain).toMatchObject({ dynamicThreshold: null, clipSampleRange: 1 });
  });
});
