import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Denoiser } from '#pipelines/sampling/denoiser.ts';
import { combine } from '#pipelines/sampling/guidance.ts';
import {
  initialNoiseOf,
  type SampleLoopOptions,
  type SampleResult,
  type SampleRow,
  type SampleStep,
  sampleLoop,
} from '#pipelines/sampling/loop.ts';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import { cases, model, noise } from '#test/pipelines/schedulers/reference.ts';
import { exactDenoiser, exactLaw, target, toySchedule } from './gaussian.ts';

async function drain<C>(options: SampleLoopOptions<C>): Promise<SampleResult & { events: SampleStep[] }> {
  const events: SampleStep[] = [];
  const loop = sampleLoop(options);
  for (;;) {
    const next = await loop.next();
    if (next.done) return { ...next.value, events };
    events.push({ ...next.value, samples: next.value.samples.slice() });
  }
}

const rowsOf = (count: number, seed = 7): SampleRow<string>[] =>
  Array.from({ length: count }, (_, index) => ({ condition: `c${index % 3}`, seed, index, noiseIndex: index }));

const keptSchedule = (steps = 6, eta = 1): GaussianSchedule =>
  createGaussianSchedule(parseSchedulerConfig({ clip_sample: false, steps_offset: 1 }), {
    steps,
    eta,
    finalAlphaCumprod: 'keep-noise',
  });

/** A row-wise nonlinear denoiser whose result depends on sample, timestep and condition. */
const curved: Denoiser<string> = {
  dims: [2, 2],
  predict: async (samples, timestep, conditions) =>
    samples.map((x, i) =>
      Math.sin(
        x + timestep * 0.01 + conditions[Math.floor(i / 4)]!.length + conditions[Math.floor(i / 4)]!.charCodeAt(1),
      ),
    ),
};

describe('the analytic Gaussian', () => {
  test('has the published final mean and variance, by recursion over the schedule', () => {
    const { mean, variance } = exactLaw(toySchedule());
    expect(mean).toBeCloseTo(0.9747998, 7);
    expect(variance).toBeCloseTo(0.1516035, 7);
  });

  test('is recovered exactly with the exact reverse variance and the exact start', () => {
    const schedule = toySchedule();
    const steps = schedule.steps.map((step) => {
      const conditional = (target.variance * step.noise ** 2) / (step.signal ** 2 * target.variance + step.noise ** 2);
      return { ...step, std: Math.sqrt(step.std ** 2 + step.x0Weight ** 2 * conditional) };
    });
    const exact = { ...schedule, steps };
    expect(exactLaw(exact).variance).toBeCloseTo(0.2504763, 7);
    const { signal, noise } = steps[0]!;
    const law = exactLaw(exact, { mean: signal * target.mean, variance: signal ** 2 * target.variance + noise ** 2 });
    expect(law.mean).toBeCloseTo(1, 12);
    expect(law.variance).toBeCloseTo(0.25, 12);
  });

  test('sampled through the loop has that mean and variance within 4 standard errors', async () => {
    const schedule = toySchedule();
    const size = 1000;
    const { samples } = await drain({
      denoiser: exactDenoiser(schedule, [size]),
      schedule,
      rows: rowsOf(20),
      keepTrajectory: false,
    });
    const n = samples.length;
    const mean = samples.reduce((s, x) => s + x, 0) / n;
    const variance = samples.reduce((s, x) => s + (x - mean) ** 2, 0) / (n - 1);
    expect(Math.abs(mean - 0.9747998)).toBeLessThan(4 * Math.sqrt(0.1516035 / n));
    expect(Math.abs(variance - 0.1516035)).toBeLessThan(4 * 0.1516035 * Math.sqrt(2 / n));
  });

  test('with eta 0 and a shared start gives equal samples, with eta 1 different ones', async () => {
    const make = async (eta: number) => {
      const schedule = keptSchedule(6, eta);
      const rows = rowsOf(2).map((row) => ({ ...row, condition: 'same', noiseIndex: 5 }));
      return (await drain({ denoiser: curved, schedule, rows, keepTrajectory: false })).samples;
    };
    const [same, different] = [await make(0), await make(1)];
    expect(same.slice(0, 4)).toEqual(same.slice(4));
    expect(different.slice(0, 4)).not.toEqual(different.slice(4));
  });
});

describe('randomness', () => {
  const partition = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 });
  prop.prop([partition, fc.integer({ min: 0, max: 2 ** 31 }), fc.boolean()], { numRuns: 30 })(
    'is a function of seed, index and step: any division into batches, in any order, gives identical bytes',
    async (sizes, seed, backwards) => {
      const rows = rowsOf(
        sizes.reduce((a, b) => a + b, 0),
        seed,
      );
      const schedule = keptSchedule();
      const whole = await drain({ denoiser: curved, schedule, rows, keepTrajectory: true });
      const order = backwards ? rows.toReversed() : rows;
      let from = 0;
      for (const count of sizes) {
        const batch = order.slice(from, from + count);
        const part = await drain({ denoiser: curved, schedule, rows: batch, keepTrajectory: true });
        for (const [slot, { index }] of batch.entries()) {
          expect(part.samples.slice(slot * 4, slot * 4 + 4)).toEqual(whole.samples.slice(index * 4, index * 4 + 4));
          expect(part.trajectories![slot]).toEqual(whole.trajectories![index]);
        }
        from += count;
      }
    },
  );

  test('starts each noise index from its own noise, and rows that share one from the same', async () => {
    const rows = [0, 1, 1].map((noiseIndex, index) => ({ condition: 'c0', seed: 9, index, noiseIndex }));
    const { trajectories } = await drain({ denoiser: curved, schedule: keptSchedule(), rows, keepTrajectory: true });
    const [a, b, c] = trajectories!.map((t) => t.states.slice(0, 4));
    expect(a).not.toEqual(b);
    expect(b).toEqual(c);
    const other = [{ condition: 'c0', seed: 10, index: 1, noiseIndex: 1 }];
    const reseeded = await drain({ denoiser: curved, schedule: keptSchedule(), rows: other, keepTrajectory: true });
    expect(reseeded.trajectories![0]!.states.slice(0, 4)).not.toEqual(b);
  });

  test('keeping the trajectory or asking for previews changes no sample', async () => {
    const common = { denoiser: curved, schedule: keptSchedule(), rows: rowsOf(3) };
    const plain = await drain({ ...common, keepTrajectory: false });
    const kept = await drain({ ...common, keepTrajectory: true, previewEvery: 2 });
    expect(kept.samples).toEqual(plain.samples);
    expect(plain.trajectories).toBeUndefined();
    expect(kept.events.map((e) => e.predOriginalSample !== null)).toEqual([false, true, false, true, false, true]);
    expect(kept.events.map((e) => e.step)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe('a kept trajectory', () => {
  test('replays: its states, recomputed from the network, have the log-probabilities written beside them', async () => {
    const schedule = keptSchedule();
    const { trajectories, samples } = await drain({
      denoiser: curved,
      schedule,
      rows: rowsOf(2),
      keepTrajectory: true,
    });
    const { states, logProbs } = trajectories![1]!;
    expect(states.slice(6 * 4)).toEqual(samples.slice(4));
    for (const [i, step] of schedule.steps.entries()) {
      const x = states.slice(i * 4, i * 4 + 4);
      const output = await curved.predict(x, step.timestep, ['c1']);
      // Independent form: product of one-dimensional densities, then the mean of their logarithms.
      const densities = Array.from(states.slice(i * 4 + 4, i * 4 + 8), (next, d) => {
        const distance = (next - step.sample * x[d]! - step.output * output[d]!) / step.std;
        return Math.exp(-0.5 * distance ** 2) / (step.std * Math.sqrt(2 * Math.PI));
      });
      expect(logProbs[i]!).toBeCloseTo(Math.log(densities.reduce((a, b) => a * b)) / 4, 5);
    }
  });

  test('has about the entropy of the noise: the mean log-probability is −½ − ln σ − ½ ln 2π', async () => {
    const schedule = keptSchedule();
    const denoiser: Denoiser<string> = { dims: [4000], predict: async (x) => x.map(() => 0) };
    const { trajectories } = await drain({ denoiser, schedule, rows: rowsOf(1), keepTrajectory: true });
    for (const [i, step] of schedule.steps.entries()) {
      const expected = -0.5 - Math.log(step.std) - 0.5 * Math.log(2 * Math.PI);
      // Variance of z²/2 is ½.
      expect(Math.abs(trajectories![0]!.logProbs[i]! - expected)).toBeLessThan(4 * Math.sqrt(0.5 / 4000));
    }
  });

  test('is refused where a step has no noise or clips', async () => {
    const refused = (schedule: GaussianSchedule) =>
      expect(drain({ denoiser: curved, schedule, rows: rowsOf(1), keepTrajectory: true })).rejects.toMatchObject({
        code: 'sampling/no-log-prob',
      });
    await refused(keptSchedule(6, 0));
    await refused(toySchedule());
    await refused({ ...keptSchedule(), clipSampleRange: 1 });
  });
});

test('clipping holds the predicted clean sample inside its range and the last DDPM state with it', async () => {
  const config = parseSchedulerConfig({ _class_name: 'DDPMScheduler', clip_sample: true });
  const schedule = createGaussianSchedule(config, { steps: 5, eta: 1 });
  const wild: Denoiser<string> = { dims: [4], predict: async (x) => x.map((v) => -3 * v) };
  const { events, samples } = await drain({
    denoiser: wild,
    schedule,
    rows: rowsOf(2),
    keepTrajectory: false,
    previewEvery: 1,
  });
  for (const event of events) expect(Math.max(...event.predOriginalSample!.map(Math.abs))).toBeLessThanOrEqual(1);
  expect(Math.max(...samples.map(Math.abs))).toBeLessThanOrEqual(1 + 1e-6);
});

test('a start given from outside is used as it is', async () => {
  const schedule = keptSchedule();
  const initialNoise = Float32Array.of(1, 2, 3, 4);
  const { trajectories } = await drain({
    denoiser: curved,
    schedule,
    rows: rowsOf(1),
    initialNoise,
    keepTrajectory: true,
  });
  expect(trajectories![0]!.states.slice(0, 4)).toEqual(initialNoise);
  const short = drain({ denoiser: curved, schedule, rows: rowsOf(2), initialNoise, keepTrajectory: true });
  await expect(short).rejects.toMatchObject({ code: 'sampling/shape' });
});

test('a network that gives no number is reported with its sample and step', async () => {
  const broken: Denoiser<string> = {
    dims: [1],
    predict: async (x, t) => x.map((v, i) => (t < 400 && i === 1 ? Number.NaN : v)),
  };
  const run = drain({ denoiser: broken, schedule: keptSchedule(), rows: rowsOf(2), keepTrajectory: false });
  await expect(run).rejects.toThrow(/Sample 1 .* step 4 of 6/);
});

test('guidance of 1 is the conditional output, 0 the unconditional, 3 three times the way', () => {
  const [u, c] = [Float32Array.of(1, -2), Float32Array.of(2, 0)];
  expect(combine(u, c, 1)).toEqual(c);
  expect(combine(u, c, 0)).toEqual(u);
  expect(combine(u, c, 3)).toEqual(Float32Array.of(4, 4));
});

describe('the loop follows the reference implementation', () => {
  const deterministic = cases.flatMap((c) => {
    const config = parseSchedulerConfig({ _class_name: c.scheduler, ...c.config });
    const schedule = createGaussianSchedule(config, { steps: c.num_inference_steps, eta: c.step_kwargs.eta ?? 0 });
    return schedule.steps.every((step) => step.std === 0)
      ? [{ name: `${c.scheduler} ${JSON.stringify(c.config)}`, c, schedule }]
      : [];
  });

  test('in as many samplers as have no noise of their own', () => {
    expect(new Set(deterministic.map((d) => d.schedule.name))).toEqual(
      new Set(['ddim', 'euler', 'heun', 'dpm-solver-multistep', 'pndm', 'flow-match-euler']),
    );
  });

  test.each(deterministic)('$name', async ({ c, schedule }) => {
    const { events } = await drain({
      denoiser: {
        dims: [6],
        predict: async (samples, timestep) => Float32Array.from(model([...samples], timestep)),
      },
      schedule,
      rows: rowsOf(1),
      initialNoise: Float32Array.from(noise(0)),
      keepTrajectory: false,
    });
    events.forEach((event, s) => {
      event.samples.forEach((v, i) => {
        // States are float32.
        expect(Math.abs(v - c.prev_samples[s]![i]!)).toBeLessThan(2e-5 * Math.max(1, Math.abs(v)));
      });
    });
  });

  test('a sampler with a memory has no log-probabilities to keep', async () => {
    const { schedule } = deterministic.find((d) => d.schedule.name === 'dpm-solver-multistep')!;
    await expect(drain({ denoiser: curved, schedule, rows: rowsOf(1), keepTrajectory: true })).rejects.toMatchObject({
      code: 'sampling/no-log-prob',
    });
  });
});

test('dynamic thresholding holds each sample of a batch to its own quantile', async () => {
  const config = parseSchedulerConfig({ _class_name: 'DDPMScheduler', thresholding: true, sample_max_value: 1e6 });
  const schedule = createGaussianSchedule(config, { steps: 5, eta: 1 });
  // The second sample is believed to be a hundred times larger than the first.
  const wild: Denoiser<string> = { dims: [50], predict: async (x) => x.map((v, i) => (i < 50 ? -3 : -300) * v) };
  const options = { denoiser: wild, schedule, keepTrajectory: false, previewEvery: 1 };
  const { events } = await drain({ ...options, rows: rowsOf(2) });
  const clean = events[0]!.predOriginalSample!;
  for (const [row, own] of rowsOf(2).entries()) {
    const noise = initialNoiseOf(own, 50);
    const sorted = [...noise.map(Math.abs)].sort((a, b) => a - b);
    // 0.995 of the way along 50 values: 48.755.
    const quantile = sorted[48]! + 0.755 * (sorted[49]! - sorted[48]!);
    clean.slice(row * 50, row * 50 + 50).forEach((v, i) => {
      expect(v).toBeCloseTo(Math.max(-1, Math.min(1, noise[i]! / quantile)), 5);
    });
  }
  const kept = { ...keptSchedule(), dynamicThreshold: { ratio: 0.9, max: 2 } };
  await expect(drain({ ...options, schedule: kept, rows: rowsOf(1), keepTrajectory: true })).rejects.toMatchObject({
    code: 'sampling/no-log-prob',
  });
});
