import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gaussianLogProb } from '#pipelines/sampling/trajectory.ts';
import { ddimStep } from '#pipelines/schedulers/ddim.ts';
import { ddpmStep } from '#pipelines/schedulers/ddpm.ts';
import type { PredictionType } from '#pipelines/schedulers/types.ts';

const unit = fc.double({ min: 0.001, max: 0.999, noNaN: true });
/** ᾱ at a timestep and at the next, less noisy one. */
const pair = fc
  .tuple(unit, unit)
  .filter(([a, b]) => Math.abs(a - b) > 1e-4)
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
const eta = fc.double({ min: 0, max: 1, noNaN: true });

describe('one step', () => {
  test('has the published mean, variance and log-density', () => {
    const step = ddimStep(0.5, 0.6, 1);
    expect(step.std ** 2).toBeCloseTo(0.1333333, 7);
    expect(step.x0Sample + step.x0Output * 0.2).toBeCloseTo(1.2142136, 7);
    const mean = step.sample + step.output * 0.2;
    expect(mean).toBeCloseTo(1.0438053, 7);
    expect(gaussianLogProb([1.1], [mean], step.std)).toBeCloseTo(0.0766711, 7);
  });

  prop.prop([pair, eta])('a perfect epsilon keeps the forward marginal', ([at, prev], e) => {
    const step = ddimStep(at, prev, e);
    const epsilonWeight = step.sample * Math.sqrt(1 - at) + step.output;
    expect(epsilonWeight ** 2 + step.std ** 2).toBeCloseTo(1 - prev, 9);
    expect(step.sample * Math.sqrt(at)).toBeCloseTo(Math.sqrt(prev), 9);
  });

  prop.prop([pair])('DDIM with eta 1 is DDPM with the small variance', ([at, prev]) => {
    const a = ddimStep(at, prev, 1);
    const b = ddpmStep(at, prev);
    expect(a.sample).toBeCloseTo(b.sample, 9);
    expect(a.output).toBeCloseTo(b.output, 9);
    expect(a.std).toBeCloseTo(b.std, 12);
  });

  prop.prop([pair, eta, fc.double({ min: -3, max: 3, noNaN: true }), fc.double({ min: -3, max: 3, noNaN: true })])(
    'epsilon, v and sample predictions of one state give one step',
    ([at, prev], e, x0, epsilon) => {
      const signal = Math.sqrt(at);
      const noise = Math.sqrt(1 - at);
      const x = signal * x0 + noise * epsilon;
      const outputs = { epsilon, sample: x0, v_prediction: signal * epsilon - noise * x0 };
      for (const make of [
        ddimStep,
        (a: number, p: number, _: number, t: PredictionType) => ddpmStep(a, p, 'fixed_large', t),
      ]) {
        const means = Object.entries(outputs).map(([type, output]) => {
          const step = make(at, prev, e, type as PredictionType);
          expect(step.x0Sample * x + step.x0Output * output).toBeCloseTo(x0, 6);
          return step.sample * x + step.output * output;
        });
        expect(means[1]!).toBeCloseTo(means[0]!, 6);
        expect(means[2]!).toBeCloseTo(means[0]!, 6);
      }
    },
  );

  test('rising timesteps and impossible eta are refused', () => {
    expect(() => ddimStep(0.6, 0.5, 0)).toThrow(RangeError);
    expect(() => ddpmStep(0.6, 0.5)).toThrow(RangeError);
    expect(() => ddimStep(0.5, 0.6, 1.5)).toThrow(RangeError);
  });

  test('epsilon at pure noise determines nothing and is refused', () => {
    expect(() => ddimStep(0, 0.5, 0)).toThrow(expect.objectContaining({ code: 'scheduler/undefined' }));
    expect(ddimStep(0, 0.5, 0, 'v_prediction').x0Output).toBe(-1);
  });
});
