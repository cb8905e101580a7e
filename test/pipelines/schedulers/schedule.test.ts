import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { timestepsOf } from '#pipelines/schedulers/timesteps.ts';

const coded = (code: string) => expect.objectContaining({ code });

describe('scheduler_config.json', () => {
  test('absent keys take the published defaults and unknown keys are kept', () => {
    const config = parseSchedulerConfig({ _class_name: 'DDPMScheduler', something_new: [1] });
    expect(config).toMatchObject({
      num_train_timesteps: 1000,
      beta_start: 0.0001,
      beta_end: 0.02,
      beta_schedule: 'linear',
      prediction_type: 'epsilon',
      timestep_spacing: 'leading',
      clip_sample: true,
      something_new: [1],
    });
  });

  test('samplers that have no clip_sample key do not clip', () => {
    expect(parseSchedulerConfig({ _class_name: 'PNDMScheduler' }).clip_sample).toBe(false);
    expect(parseSchedulerConfig({ _class_name: 'PNDMScheduler', trained_betas: null }).trained_betas).toBeNull();
  });

  test('a wrong value is refused by the name of its key', () => {
    expect(() => parseSchedulerConfig({ beta_schedule: 'sigmoidal' })).toThrow(/beta_schedule/);
    expect(() => parseSchedulerConfig(null)).toThrow(coded('scheduler/config'));
    expect(() => createGaussianSchedule(parseSchedulerConfig({ trained_betas: [0.1] }), { steps: 1, eta: 0 })).toThrow(
      /trained_betas has 1 entries/,
    );
  });

  test('what is no Gaussian step is refused with what to do', () => {
    const make = (json: object) => () => createGaussianSchedule(parseSchedulerConfig(json), { steps: 10, eta: 0 });
    expect(make({ _class_name: 'EulerDiscreteScheduler', thresholding: true })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('"thresholding" to false') }),
    );
    const flow = parseSchedulerConfig({ _class_name: 'FlowMatchEulerDiscreteScheduler' });
    expect(() => createGaussianSchedule(flow, { name: 'ddim', steps: 10, eta: 0 })).toThrow(
      coded('scheduler/unsupported'),
    );
    const pixels = parseSchedulerConfig({ _class_name: 'DDIMScheduler' });
    expect(() => createGaussianSchedule(pixels, { name: 'euler', steps: 10, eta: 0 })).toThrow(
      coded('scheduler/unsupported'),
    );
    expect(make({ _class_name: 'DDPMScheduler', variance_type: 'learned_range' })).toThrow(
      coded('scheduler/unsupported'),
    );
    expect(make({ num_train_timesteps: 5 })).toThrow(coded('scheduler/steps'));
  });
});

describe('timesteps', () => {
  const spacing = fc.constantFrom('leading', 'linspace', 'trailing');
  prop.prop([spacing, fc.integer({ min: 1, max: 1000 })])(
    'descend strictly and stay in range, as many as asked',
    (s, steps) => {
      const t = timestepsOf(parseSchedulerConfig({ timestep_spacing: s }), steps);
      expect(t).toHaveLength(steps);
      expect(t[0]).toBeLessThanOrEqual(999);
      expect(t.at(-1)).toBeGreaterThanOrEqual(0);
      for (let i = 1; i < t.length; i++) expect(t[i]!).toBeLessThan(t[i - 1]!);
    },
  );

  test('of the three spacings are those of Lin et al. 2023, table 2', () => {
    const of = (s: string) => timestepsOf(parseSchedulerConfig({ timestep_spacing: s, steps_offset: 0 }), 10);
    expect(of('leading')).toEqual([900, 800, 700, 600, 500, 400, 300, 200, 100, 0]);
    expect(of('linspace')).toEqual([999, 888, 777, 666, 555, 444, 333, 222, 111, 0]);
    expect(of('trailing')).toEqual([999, 899, 799, 699, 599, 499, 399, 299, 199, 99]);
  });
});

describe('a schedule for kept trajectories', () => {
  const config = fc.record({
    beta_schedule: fc.constantFrom('linear', 'scaled_linear', 'squaredcos_cap_v2'),
    timestep_spacing: fc.constantFrom('leading', 'linspace', 'trailing'),
    steps_offset: fc.constantFrom(0, 1),
    set_alpha_to_one: fc.boolean(),
    prediction_type: fc.constantFrom('epsilon', 'v_prediction', 'sample'),
  });
  const name = fc.constantFrom('ddim' as const, 'ddpm' as const);
  prop.prop([config, name, fc.integer({ min: 1, max: 200 })])(
    'has noise at every step, so every log-probability is finite',
    (c, n, steps) => {
      const schedule = createGaussianSchedule(parseSchedulerConfig(c), {
        name: n,
        steps,
        eta: 1,
        finalAlphaCumprod: 'keep-noise',
      });
      for (const step of schedule.steps) {
        expect(step.std).toBeGreaterThan(0);
        expect(Number.isFinite(step.sample) && Number.isFinite(step.output)).toBe(true);
      }
    },
  );

  test('lands each step at the noise level where the next one starts', () => {
    const parsed = parseSchedulerConfig({ steps_offset: 0, set_alpha_to_one: true });
    const { steps } = createGaussianSchedule(parsed, { steps: 20, eta: 0.7, finalAlphaCumprod: 'keep-noise' });
    // Kept noise of a perfect epsilon: its weight squared plus σ² is 1 − ᾱ of the next step.
    for (let i = 0; i + 1 < steps.length; i++) {
      const weight = steps[i]!.sample * steps[i]!.noise + steps[i]!.output;
      expect(weight ** 2 + steps[i]!.std ** 2).toBeCloseTo(steps[i + 1]!.noise ** 2, 12);
    }
    expect(steps.at(-1)!.timestep).toBe(1);
  });

  test('differs from the ordinary one only at the end', () => {
    const parsed = parseSchedulerConfig({ steps_offset: 1 });
    const kept = createGaussianSchedule(parsed, { steps: 20, eta: 1, finalAlphaCumprod: 'keep-noise' });
    const plain = createGaussianSchedule(parsed, { steps: 20, eta: 1 });
    expect(kept.steps.slice(0, -1)).toEqual(plain.steps.slice(0, -1));
    expect(plain.steps.at(-1)!.std).toBe(0);
  });

  test('visiting every timestep leaves no noise for the last and is refused', () => {
    const parsed = parseSchedulerConfig({ num_train_timesteps: 10 });
    expect(() => createGaussianSchedule(parsed, { steps: 10, eta: 1, finalAlphaCumprod: 'keep-noise' })).toThrow(
      coded('scheduler/steps'),
    );
  });
});
