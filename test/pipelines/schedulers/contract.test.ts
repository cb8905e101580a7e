import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flowSigmas } from '#pipelines/schedulers/flow-match.ts';
import {
  createGaussianSchedule,
  parseSchedulerConfig,
  SAMPLERS,
  type SamplerName,
} from '#pipelines/schedulers/index.ts';
import type { GaussianSchedule, GaussianStep, PredictionType } from '#pipelines/schedulers/types.ts';

const isFlow = (name: SamplerName) => name.startsWith('flow-match-');
/** Samplers whose every step keeps the forward marginal of a perfect network, in mean and variance. */
const EXACT = SAMPLERS.filter((name) => name !== 'flow-match-sde' && name !== 'flow-match-dance');

const settings = fc.record({
  beta_schedule: fc.constantFrom('linear', 'scaled_linear'),
  timestep_spacing: fc.constantFrom('leading', 'trailing'),
  steps_offset: fc.constantFrom(0, 1),
  use_karras_sigmas: fc.boolean(),
  final_sigmas_type: fc.constantFrom('zero', 'sigma_min'),
  algorithm_type: fc.constantFrom('dpmsolver++', 'sde-dpmsolver++'),
  solver_order: fc.constantFrom(1, 2, 3),
  skip_prk_steps: fc.boolean(),
  shift: fc.constantFrom(1, 3),
  prediction_type: fc.constantFrom('epsilon', 'v_prediction', 'sample'),
});
const steps = fc.constantFrom(1, 2, 5, 10, 20, 25);
const eta = fc.double({ min: 0, max: 1, noNaN: true });

type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;

function scheduleFor(name: SamplerName, s: Settings, n: number, e: number): GaussianSchedule {
  const sde = s.algorithm_type === 'sde-dpmsolver++';
  const config = parseSchedulerConfig({
    ...s,
    _class_name: 'Other',
    solver_order: sde ? Math.min(2, s.solver_order) : s.solver_order,
    ...(isFlow(name) ? { prediction_type: 'flow_velocity' } : {}),
  });
  return createGaussianSchedule(config, { name, steps: n, eta: e });
}

/** What a perfect network says of x = signal·x₀ + noise·ε, as factors of x₀ and ε. */
function outputOf(type: PredictionType, { signal, noise }: GaussianStep): { x0: number; epsilon: number } {
  const length = type === 'v_prediction' ? Math.hypot(signal, noise) : 1;
  switch (type) {
    case 'epsilon':
      return { x0: 0, epsilon: 1 };
    case 'sample':
      return { x0: 1, epsilon: 0 };
    case 'v_prediction':
      return { x0: -noise / length, epsilon: signal / length };
    case 'flow_velocity':
      return { x0: -1, epsilon: 1 };
  }
}

/** Factors of x₀, of this step's ε and of earlier ones in the mean of the next sample. */
function meanOf(schedule: GaussianSchedule, i: number) {
  const share = (step: GaussianStep, sample: number, output: number) => {
    const o = outputOf(schedule.predictionType, step);
    return { x0: sample * step.signal + output * o.x0, epsilon: sample * step.noise + output * o.epsilon };
  };
  const step = schedule.steps[i]!;
  const now = share(step, step.sample, step.output);
  const past = step.past.map((p, k) => share(schedule.steps[i - 1 - k]!, p.sample, p.output));
  return {
    x0: past.reduce((sum, p) => sum + p.x0, now.x0),
    epsilon: now.epsilon,
    earlier: past.map((p) => p.epsilon),
  };
}

describe.each(SAMPLERS)('%s', (name) => {
  prop.prop([settings, steps, eta])('gives finite scalars and never more noise as it goes on', (s, n, e) => {
    const schedule = scheduleFor(name, s, n, e);
    expect(schedule.steps.length).toBeGreaterThanOrEqual(n);
    schedule.steps.forEach((step, i) => {
      const { past, ...scalars } = step;
      for (const v of [...Object.values(scalars), ...past.flatMap((p) => [p.sample, p.output])])
        expect(Number.isFinite(v)).toBe(true);
      // Four Runge–Kutta evaluations stand for one step in a multistep formula.
      expect(past.length).toBeLessThanOrEqual(Math.min(i, name === 'pndm' ? 12 : 3));
      expect(step.std).toBeGreaterThanOrEqual(0);
      const before = schedule.steps[i - 1];
      if (before) expect(step.noise / step.signal).toBeLessThanOrEqual((before.noise / before.signal) * (1 + 1e-9));
    });
  });

  prop.prop([settings, steps, eta])('reads the clean sample out of a perfect network', (s, n, e) => {
    const schedule = scheduleFor(name, s, n, e);
    for (const step of schedule.steps) {
      const o = outputOf(schedule.predictionType, step);
      const x0 = step.x0Sample * step.signal + step.x0Output * o.x0;
      const epsilon = step.x0Sample * step.noise + step.x0Output * o.epsilon;
      // The consistency function keeps a trace of its input by definition.
      if (name !== 'lcm') expect(Math.hypot(x0 - 1, epsilon)).toBeLessThan(1e-6 * Math.max(1, step.noise));
      else expect(Math.abs(x0 - 1)).toBeLessThan(0.01);
    }
  });
});

describe.each(EXACT.filter((name) => name !== 'lcm' && name !== 'ddpm'))('%s', (name) => {
  prop.prop([settings, steps, eta])('keeps the forward marginal of a perfect network at every step', (s, n, e) => {
    if (name === 'pndm') s.prediction_type = 'epsilon';
    const schedule = scheduleFor(name, s, n, e);
    const random = schedule.steps.some((step) => step.std > 0);
    schedule.steps.forEach((step, i) => {
      const mean = meanOf(schedule, i);
      const next = schedule.steps[i + 1];
      if (!next) return;
      const scale = Math.max(1, next.noise);
      expect(Math.abs(mean.x0 - next.signal)).toBeLessThan(1e-6 * scale);
      if (random) {
        // Noises of different steps are independent: only the present one may remain.
        for (const other of mean.earlier) expect(Math.abs(other)).toBeLessThan(1e-6 * scale);
        expect(Math.abs(Math.hypot(mean.epsilon, step.std) - next.noise)).toBeLessThan(1e-6 * scale);
      } else {
        const epsilon = mean.earlier.reduce((sum, v) => sum + v, mean.epsilon);
        expect(Math.abs(epsilon - next.noise)).toBeLessThan(1e-6 * scale);
      }
    });
  });
});

/** Sampler and settings of a deterministic solver, with the order at which its error must fall. */
const ORDERS: readonly [SamplerName, object, number][] = [
  ['ddim', {}, 1],
  ['euler', {}, 1],
  ['heun', {}, 2],
  ['dpm-solver-multistep', { solver_order: 1 }, 1],
  ['dpm-solver-multistep', { solver_order: 2 }, 2],
  ['dpm-solver-multistep', { solver_order: 2, solver_type: 'heun' }, 2],
  ['dpm-solver-multistep', { solver_order: 3 }, 2],
  ['unipc', { solver_order: 1 }, 2],
  ['unipc', { solver_order: 2, solver_type: 'bh1' }, 2],
  ['unipc', { solver_order: 2 }, 2],
  ['unipc', { solver_order: 3 }, 2],
];

describe('on Gaussian data, where the flow is known in closed form', () => {
  /** x_T ↦ x_end is linear: its slope is √(signal² s² + noise²) at the end over that at the start (probability flow). */
  const error = (name: SamplerName, config: object, n: number): number => {
    const s = 0.6;
    const schedule = createGaussianSchedule(
      parseSchedulerConfig({
        _class_name: 'Other',
        timestep_spacing: 'trailing',
        // Uniform in ln σ, ending at a positive σ, so that every solver keeps its order to the end.
        use_exponential_sigmas: true,
        sigma_min: 0.05,
        sigma_max: 5,
        final_sigmas_type: 'zero',
        lower_order_final: false,
        prediction_type: 'epsilon',
        ...config,
      }),
      { name, steps: n, eta: 0 },
    );
    const spread = (step: GaussianStep) => Math.hypot(step.signal * s, step.noise);
    const seen: { x: number; o: number }[] = [];
    let x = 1;
    for (const [i, step] of schedule.steps.entries()) {
      if (i === schedule.steps.length - 1) break;
      // E[ε | x] for x₀ ~ N(0, s²).
      const o = (step.noise / spread(step) ** 2) * x;
      seen.unshift({ x, o });
      const past = step.past.reduce((sum, p, k) => sum + p.sample * seen[k + 1]!.x + p.output * seen[k + 1]!.o, 0);
      x = step.sample * x + step.output * o + past;
    }
    const exact = spread(schedule.steps.at(-1)!) / spread(schedule.steps[0]!);
    return Math.abs(x / exact - 1);
  };

  test.each(ORDERS)('%s %j converges with order at least %i', (name, config, order) => {
    const [coarse, fine] = [error(name, config, 40), error(name, config, 160)];
    expect(fine).toBeLessThan(0.05);
    expect(Math.log(coarse / fine) / Math.log(4)).toBeGreaterThan(order - 0.3);
  });

  test('the better solver is the better one at equal evaluations', () => {
    const at = (name: SamplerName, config: object = {}) => error(name, config, 20);
    expect(at('dpm-solver-multistep')).toBeLessThan(at('euler') / 3);
    expect(at('unipc')).toBeLessThan(at('dpm-solver-multistep'));
  });
});

describe('stochastic flow steps', () => {
  const flow = (name: SamplerName, n: number, e: number) =>
    createGaussianSchedule(parseSchedulerConfig({ _class_name: 'FlowMatchEulerDiscreteScheduler' }), {
      name,
      steps: n,
      eta: e,
    }).steps;
  /** Variance at the end for x₀ ~ N(1, ¼) from N(0, 1), with the exact velocity, on a uniform grid. */
  const finalVariance = (name: SamplerName, n: number, e: number) => {
    const uniform = parseSchedulerConfig({ _class_name: 'FlowMatchEulerDiscreteScheduler', num_train_timesteps: n });
    const { steps } = createGaussianSchedule(uniform, { name, steps: n, eta: e });
    let [mean, variance] = [0, 1];
    for (const step of steps) {
      const sigma = step.noise;
      const d = (1 - sigma) ** 2 * 0.25 + sigma ** 2;
      // v = E[ε | x] − E[x₀ | x], affine in x.
      const gain = sigma / d - ((1 - sigma) * 0.25) / d;
      const offset = -gain * (1 - sigma) - 1;
      const factor = step.sample + step.output * gain;
      mean = factor * mean + step.output * offset;
      variance = factor ** 2 * variance + step.std ** 2;
    }
    return { mean, variance };
  };

  test.each([
    ['flow-match-euler', 0, 10, 0.1855737],
    ['flow-match-euler', 0, 40, 0.2321417],
    ['flow-match-euler', 0, 2000, 0.2496298],
    ['flow-match-sde', 0.7, 10, 0.2299623],
    ['flow-match-sde', 0.7, 40, 0.2473685],
    ['flow-match-sde', 0.7, 200, 0.2510288],
    ['flow-match-dance', 0.3, 10, 0.1949737],
    ['flow-match-dance', 0.3, 40, 0.2348194],
    ['flow-match-dance', 0.3, 2000, 0.249686],
  ] as const)('%s at noise %d and %i steps ends with the exact variance of its recursion', (name, e, n, variance) => {
    const end = finalVariance(name, n, e);
    expect(end.variance).toBeCloseTo(variance, 6);
    expect(end.mean).toBeCloseTo(1, 6);
  });

  test('have the published mean and spread at σ 0.8 → 0.6, x 0.5, v −0.3', () => {
    const fifths = parseSchedulerConfig({ _class_name: 'FlowMatchEulerDiscreteScheduler', num_train_timesteps: 5 });
    const at = (name: SamplerName, e: number) => {
      const step = createGaussianSchedule(fifths, { name, steps: 5, eta: e }).steps[1]!;
      expect(step.noise).toBeCloseTo(0.8, 12);
      return [step.sample * 0.5 - step.output * 0.3, step.std];
    };
    expect(at('flow-match-sde', 0.7)[0]).toBeCloseTo(0.4522, 7);
    expect(at('flow-match-sde', 0.7)[1]).toBeCloseTo(0.626099, 7);
    expect(at('flow-match-dance', 0.3)[0]).toBeCloseTo(0.55505, 7);
    expect(at('flow-match-dance', 0.3)[1]).toBeCloseTo(0.1341641, 7);
  });

  test('with no noise are Euler', () => {
    for (const name of ['flow-match-sde', 'flow-match-dance', 'flow-match-cps'] as const) {
      flow(name, 8, 0).forEach((step, i) => {
        const euler = flow('flow-match-euler', 8, 0)[i]!;
        expect(step.sample).toBeCloseTo(euler.sample, 12);
        expect(step.output).toBeCloseTo(euler.output, 12);
      });
    }
  });
});

describe('the shift of flow levels', () => {
  const config = (json: object) => parseSchedulerConfig({ _class_name: 'FlowMatchEulerDiscreteScheduler', ...json });

  test('that follows the picture size goes through its two published points', () => {
    const dynamic = config({ use_dynamic_shifting: true, base_shift: 0.5, max_shift: 1.15 });
    for (const [imageSequenceLength, mu] of [
      [256, 0.5],
      [4096, 1.15],
    ] as const) {
      const sigmas = flowSigmas(dynamic, { steps: 10, eta: 0, imageSequenceLength });
      const plain = flowSigmas(config({}), { steps: 10, eta: 0 });
      // odds of σ are multiplied by exp μ
      sigmas.slice(1, -1).forEach((s, i) => {
        const p = plain[i + 1]!;
        expect(s / (1 - s) / (p / (1 - p))).toBeCloseTo(Math.exp(mu), 9);
      });
    }
  });

  test('that follows the picture size asks for it', () => {
    expect(() => flowSigmas(config({ use_dynamic_shifting: true }), { steps: 4, eta: 0 })).toThrow(
      /size of the picture/,
    );
  });

  test('with a terminal value ends there', () => {
    const sigmas = flowSigmas(config({ shift_terminal: 0.1, shift: 3 }), { steps: 8, eta: 0 });
    expect(sigmas.at(-2)).toBeCloseTo(0.1, 12);
    expect(sigmas[0]).toBeCloseTo(1, 12);
  });
});
