import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bestOf } from '#build/bench/methods/calls.ts';
import { pictureLogLikelihood } from '#build/bench/methods/likelihood.ts';
import { type Part, readParts, type SampleRecord, writePart } from '#build/bench/methods/records.ts';
import { SUBJECTS } from '#build/bench/methods/subjects.ts';
import { rowsOf, tableOf } from '#build/bench/methods/table.ts';
import { measure } from '#build/bench/methods.ts';
import { Rng } from '#models/tensor/rng.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import { generateSequences, loadSequencePipeline } from '#pipelines/sampling/generate-sequences.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-methods-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const flora = SUBJECTS.find((s) => s.name === 'flora/compressibility')!;
const part = (method: string, seed: number, rewards: readonly number[], more: Partial<SampleRecord> = {}): Part => ({
  subject: flora.name,
  method,
  seed,
  made: { budget: 4 },
  samples: rewards.map((reward, index) => ({
    index,
    reward,
    heldOut: 1,
    exact: null,
    logLikelihood: -2,
    logWeight: null,
    group: 0,
    look: Buffer.from(new Uint8Array(192).fill(index * 51)).toString('base64'),
    ...more,
  })),
  calls: { denoiser: 40 * rewards.length, reward: 0, value: 0, gradient: 0 },
  seconds: { sampling: rewards.length, measuring: 0 },
});

describe('the table', () => {
  test('has the median of all seeds, its spread over seeds, and costs of one sample', () => {
    const [row] = rowsOf(flora, [part('plain', 1, [1, 2, 3]), part('plain', 2, [5, 6, 7])]);
    expect(row).toMatchObject({ count: 6, seeds: 2, median: 4, mean: 4, topDecile: 6.5, seconds: 1, effective: null });
    // Medians of the seeds are 2 and 6.
    expect(row!.medianSpread).toBeCloseTo(Math.sqrt(8), 12);
    expect(row!.calls.denoiser).toBe(40);
    // Brightness 0, 0.2, 0.4 twice over: of 15 pairs, 3 are equal, 8 lie 0.2 and 4 lie 0.4 apart.
    expect(row!.diversity).toBeCloseTo((8 * 0.2 + 4 * 0.4) / 15, 12);
  });

  test('counts a sample once that stands in two parts', () => {
    const [row] = rowsOf(flora, [part('plain', 1, [1, 2]), part('plain', 1, [1, 2, 3])]);
    expect(row).toMatchObject({ count: 3, median: 2 });
  });

  test('gives effective samples by weights: even ones all, one heavy one a single', () => {
    const even = rowsOf(flora, [part('smc', 1, [1, 2, 3, 4], { logWeight: 7 })])[0]!;
    expect(even.effective).toBeCloseTo(1, 12);
    const heavy = part('smc', 1, [1, 2, 3, 4], { logWeight: 0 });
    const one = { ...heavy, samples: heavy.samples.map((s, i) => ({ ...s, logWeight: i === 0 ? 50 : 0 })) };
    expect(rowsOf(flora, [one])[0]!.effective).toBeCloseTo(1 / 4, 9);
  });

  test('sets its order of medians beside that of the paper', () => {
    const rows = rowsOf(flora, [part('plain', 1, [1]), part('smc', 1, [2]), part('best-of-n', 1, [3])]);
    const text = tableOf(flora, rows, 4);
    expect(text).toContain('Order of medians: plain < smc < best-of-n.');
    expect(text).toContain('plain (-101.4) < best-of-n (-71.2) < smc (-57.1).');
    expect(text).toContain('Of 3 pairs of methods in both, 2 stand in the same order.');
  });
});

describe('parts', () => {
  const name = { subject: flora.name, method: 'plain', seed: 1, first: 0, count: 2 };

  test('come back from disk, and make a table where nothing is drawn', async () => {
    const out = join(root, 'kept');
    await measure({ out, draw: false });
    writePart(out, name, part('plain', 1, [1, 2]));
    expect(readParts(out)).toEqual([part('plain', 1, [1, 2])]);
    const { text } = await measure({ out, draw: false, samples: 5, seeds: 1, only: 'flora/plain' });
    expect(text).toMatch(/\| plain \| 2 \(1\) \| 1\.500 ± – /);
    expect(text).toMatch(/Left of flora\/compressibility\/plain: 3 samples/);
  });

  test('made with other settings, torn files and unknown names are refused', async () => {
    const out = join(root, 'mixed');
    await measure({ out, draw: false });
    writePart(out, name, part('plain', 1, [1, 2]));
    writePart(out, { ...name, seed: 2 }, { ...part('plain', 2, [1, 2]), made: { budget: 8 } });
    expect(() => readParts(out)).toThrow(/"budget":4.*"budget":8/);
    writeFileSync(join(out, 'a.b.seed1.0+4.json'), '{');
    expect(() => readParts(out)).toThrow(/is no part of this benchmark/);
    await expect(measure({ out, only: 'flora/svd' })).rejects.toThrow(/no subject or method "flora\/svd"/);
  });
});

describe('what methods spend', () => {
  test('the best of three of a method of one sample is best of three, letter for letter, at the same calls', async () => {
    writeTinyMaskedModel(join(root, 'dna'), { length: 30 });
    const pipeline = await loadSequencePipeline(join(root, 'dna'));
    const gc = (s: string) => [...s].filter((c) => 'GC'.includes(c)).length;
    const draw = async (steering: Steering) => {
      const made: string[] = [];
      const before = pipeline.calls.count;
      for await (const { sequence } of generateSequences({
        pipeline,
        settings: { steps: 6, eta: 0, guidanceScale: 1, seed: 4, classId: 0, length: null },
        count: 4,
        steered: { steering, reward: 'gc', score: async (of) => Float64Array.from(of, gc) },
      })) {
        made.push(sequence);
      }
      return { made, denoiser: pipeline.calls.count - before };
    };
    try {
      const best = await draw(createSteering('best-of-n', { candidates: 3 }));
      const single = createSteering('best-of-n', { candidates: 1 });
      expect(await draw(bestOf(single, 3))).toEqual(best);
    } finally {
      await pipeline.close();
    }
  });
});

test('the likelihood of pictures falls by a²/2s² for all numbers at a, where data are normal of deviation s', async () => {
  const deviation = 0.5;
  const size = 3 * 4096;
  const config = { _class_name: 'DDIMScheduler', num_train_timesteps: 1000, beta_schedule: 'squaredcos_cap_v2' };
  const scheduler = parseSchedulerConfig({ ...config, prediction_type: 'epsilon' }, 'test');
  const schedule = createGaussianSchedule(scheduler, { name: 'ddim', steps: 1000, eta: 0 });
  const perfect = {
    dims: [size],
    async predict(x: Float32Array, timestep: number) {
      const { signal, noise } = schedule.steps.find((s) => s.timestep === timestep)!;
      return x.map((v) => (noise * v) / (signal ** 2 * deviation ** 2 + noise ** 2));
    },
  };
  const at = (a: number) =>
    pictureLogLikelihood(perfect, schedule, new Float32Array(size).fill(a), null, 28, new Rng(9));
  for (const a of [0.4, 0.8]) expect((await at(a)) - (await at(0))).toBeCloseTo(-(a ** 2) / (2 * deviation ** 2), 1);
});
