import { describe, expect, test } from 'vitest';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { cases, model, noise } from './reference.ts';

describe('schedules reproduce the published samplers', () => {
  expect(cases.length).toBe(36);
  test.each(
    cases.map(
      (c, i) => [`${i} ${c.scheduler} ${JSON.stringify(c.config)} ${JSON.stringify(c.step_kwargs)}`, c] as const,
    ),
  )('%s', (_, c) => {
    const config = parseSchedulerConfig({ _class_name: c.scheduler, ...c.config });
    const schedule = createGaussianSchedule(config, { steps: c.num_inference_steps, eta: c.step_kwargs.eta ?? 0 });
    expect(schedule.steps.length).toBe(c.timesteps.length);
    schedule.steps.forEach((s, i) => {
      // The reference finds fractional timesteps by looking up logarithms in a float32 table: 5e-6 of its length.
      expect(Math.abs(s.timestep - c.timesteps[i]!)).toBeLessThan(Number.isInteger(c.timesteps[i]) ? 1e-9 : 5e-3);
    });
    // It also keeps its noise levels in float32.
    expect(schedule.initNoiseSigma / c.init_noise_sigma).toBeCloseTo(1, 6);
    let x = noise(0).map((v) => v * schedule.initNoiseSigma);
    let draws = 0;
    const seen: { x: number[]; output: number[] }[] = [];
    const clamp = (v: number) => {
      const range = schedule.clipSampleRange ?? Number.POSITIVE_INFINITY;
      return Math.min(range, Math.max(-range, v));
    };
    for (const [s, step] of schedule.steps.entries()) {
      const output = model(
        x.map((v) => v * step.inputScale),
        c.timesteps[s]!,
      );
      const z = step.std > 0 ? noise(++draws) : noise(0);
      const x0 = x.map((v, i) => step.x0Sample * v + step.x0Output * output[i]!);
      seen.unshift({ x, output });
      x = x.map((v, i) => {
        const past = step.past.reduce(
          (sum, p, k) => sum + p.sample * seen[k + 1]!.x[i]! + p.output * seen[k + 1]!.output[i]!,
          0,
        );
        const mean = step.sample * v + step.output * output[i]! + past + step.x0Weight * (clamp(x0[i]!) - x0[i]!);
        return mean + step.std * z[i]!;
      });
      for (let i = 0; i < 6; i++) {
        expect(Math.abs(x[i]! - c.prev_samples[s]![i]!)).toBeLessThan(1e-5 * Math.max(1, Math.abs(x[i]!)));
        const clean = c.pred_original_samples?.[s]?.[i];
        if (clean !== undefined)
          expect(Math.abs(clamp(x0[i]!) - clean)).toBeLessThan(1e-5 * Math.max(1, Math.abs(clean)));
      }
    }
  });
});
