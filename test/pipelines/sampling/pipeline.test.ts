import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Feeds } from '#models/families/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64 } from '#models/tensor/tensor.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import {
  type GenerateOptions,
  generatePictures,
  type Picture,
  type SamplingSettings,
} from '#pipelines/sampling/generate.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-pipeline-'));
const model = join(folder, 'tiny');
const adapter = join(folder, 'adapter.safetensors');
const SIZE = 3 * 8 * 8;
const scale = { rank: 2, alpha: 1 };
let base: ImagePipeline;

beforeAll(async () => {
  writeTinyModel(model);
  base = await loadPipeline(model, { threads: 1 });
  const targets = findLoraTargets(base.folder.unet, 'all');
  const parameters = randomLora(targets, scale, 4);
  writeLoraFile(adapter, { targets, config: { ...scale, targets: 'all' }, parameters });
});
afterAll(async () => {
  await base?.close();
  rmSync(folder, { recursive: true, force: true });
});

const SETTINGS: SamplingSettings = {
  scheduler: 'ddim',
  steps: 5,
  eta: 1,
  guidanceScale: 3,
  negativePrompt: '',
  seed: 11,
  keepTrajectories: true,
};
const PROMPTS = ['a red tulip', 'a white lily with six petals', 'a blue daisy'];
const requests = (n: number) =>
  Array.from({ length: n }, (_, index) => ({ prompt: PROMPTS[index % PROMPTS.length]!, index, noiseIndex: index }));

async function pictures(options: Partial<GenerateOptions> = {}): Promise<Picture[]> {
  const all: Picture[] = [];
  for await (const p of generatePictures({ pipeline: base, settings: SETTINGS, requests: requests(8), ...options }))
    all.push(p);
  return all;
}

const normal = (seed: number) => new Rng(seed).fillNormal(new Float32Array(SIZE));

function largest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}

describe('pictures', () => {
  test('do not depend on how many are made at once', async () => {
    const [one, three, eight] = [
      await pictures({ batch: 1 }),
      await pictures({ batch: 3 }),
      await pictures({ batch: 8 }),
    ];
    for (const other of [three, eight]) {
      expect(other!.map((p) => p.hash)).toEqual(one!.map((p) => p.hash));
      expect(other!.map((p) => p.trajectory?.data)).toEqual(one!.map((p) => p.trajectory?.data));
    }
    expect(new Set(one!.map((p) => p.hash)).size).toBe(8);
  });

  test('do not depend on which others are made', async () => {
    const all = await pictures();
    const [alone] = await pictures({ requests: requests(8).slice(6, 7) });
    expect(alone!.png.equals(all[6]!.png)).toBe(true);
  });

  test('do not depend on the number of threads beyond rounding', async () => {
    const two = await loadPipeline(model, { threads: 2 });
    const other = await pictures({ pipeline: two, requests: requests(2) });
    const mine = await pictures({ requests: requests(2) });
    await two.close();
    for (const [i, p] of other.entries()) expect(largest(p.sample, mine[i]!.sample)).toBeLessThan(1e-3);
  });

  test('start from the noise that is given instead of the seed, to the byte', async () => {
    const { initialNoiseOf } = await import('#pipelines/sampling/loop.ts');
    const noise = new Float32Array(2 * SIZE);
    for (const i of [0, 1]) noise.set(initialNoiseOf({ seed: SETTINGS.seed, noiseIndex: i }, SIZE), i * SIZE);
    const own = await pictures({ requests: requests(2) });
    const given = await pictures({ requests: requests(2), initialNoise: noise });
    expect(given.map((p) => p.hash)).toEqual(own.map((p) => p.hash));
    const other = await pictures({ requests: requests(2), initialNoise: noise.map((v) => -v) });
    expect(other.map((p) => p.hash)).not.toEqual(own.map((p) => p.hash));
  });
});

describe('trajectories', () => {
  test('hold what the network, asked again, says: states and log-probabilities', async () => {
    const [picture] = await pictures({ requests: requests(1) });
    const { states, steps, logProbs } = picture!.trajectory!.data;
    const session = await createSession(base.folder.unetPath, { threads: 1 });
    const [condition] = await base.encode([picture!.prompt], '');
    const { guidanceScale, seed } = SETTINGS;
    for (const [i, step] of steps.entries()) {
      const x = states.subarray(i * SIZE, (i + 1) * SIZE);
      const ask = async (feeds: Feeds) =>
        (
          await session.run({
            sample: f32([1, 3, 8, 8], x),
            timestep: i64([1], [step.timestep]),
            encoder_hidden_states: f32(
              [1, ...feeds.get('encoder_hidden_states')!.dims],
              feeds.get('encoder_hidden_states')!.data,
            ),
          })
        ).out_sample!.data as Float32Array;
      const c = await ask(condition!.prompt);
      const u = await ask(condition!.negative);
      const z = new Rng(seed).fork('noise', 0, i).fillNormal(new Float32Array(SIZE));
      // ln N(x; μ, σ²) per dimension, summed one by one, then divided.
      let logDensity = 0;
      for (let d = 0; d < SIZE; d++) {
        const mean = step.sample * x[d]! + step.output * (guidanceScale * c[d]! + (1 - guidanceScale) * u[d]!);
        const next = states[(i + 1) * SIZE + d]!;
        expect(Math.abs(next - (mean + step.std * z[d]!))).toBeLessThan(1e-4);
        logDensity += Math.log(Math.exp(-0.5 * ((next - mean) / step.std) ** 2) / (step.std * Math.sqrt(2 * Math.PI)));
      }
      // Rounding of float32 outputs and states, relative to σ.
      expect(Math.abs(logProbs[i]! - logDensity / SIZE)).toBeLessThan(1e-5 + 1e-6 / step.std);
    }
    await session.release();
    expect(picture!.sample).toEqual(states.slice(-SIZE));
  });
});

describe('guidance', () => {
  test('of 1 is the prompt alone, of 0 the negative prompt alone, and of g lies on the line through both', async () => {
    const [condition] = await base.encode(['a red tulip'], 'a white lily');
    const x = normal(1);
    const at = (g: number) => base.denoiser(g).predict(x, 500, [condition!]);
    const [swapped] = await base.encode(['a white lily'], 'a red tulip');
    const [c, u, g3] = [await at(1), await at(0), await at(3)];
    expect(largest(await base.denoiser(1).predict(x, 500, [swapped!]), u)).toBeLessThan(1e-5);
    expect(largest(c, u)).toBeGreaterThan(1e-3);
    for (let i = 0; i < SIZE; i++) expect(Math.abs(g3[i]! - (u[i]! + 3 * (c[i]! - u[i]!)))).toBeLessThan(1e-5);
  });

  test('of 1 asks the network once a step, any other twice', async () => {
    const before = base.calls.count;
    await pictures({ requests: requests(1), settings: { ...SETTINGS, guidanceScale: 1 } });
    expect(base.calls.count - before).toBe(SETTINGS.steps);
    await pictures({ requests: requests(1) });
    expect(base.calls.count - before).toBe(3 * SETTINGS.steps);
  });
});

describe('adapters', () => {
  const output = async (adapters: { path: string; weight: number }[]) => {
    const pipeline = await loadPipeline(model, { threads: 1, adapters });
    const [condition] = await pipeline.encode(['a red tulip'], '');
    const out = await pipeline.denoiser(1).predict(normal(2), 300, [condition!]);
    await pipeline.close();
    return out;
  };

  test('of weight 0 leave the model as it is', async () => {
    expect(largest(await output([{ path: adapter, weight: 0 }]), await output([]))).toBeLessThan(1e-6);
  });

  test('change it by their weight, and opposite weights cancel', async () => {
    const none = await output([]);
    expect(largest(await output([{ path: adapter, weight: 1 }]), none)).toBeGreaterThan(1e-2);
    const both = await output([
      { path: adapter, weight: 0.7 },
      { path: adapter, weight: -0.7 },
    ]);
    expect(largest(both, none)).toBeLessThan(1e-4);
  });

  test('fed live give what their file gives, and follow a change at once', async () => {
    const targets = findLoraTargets(base.folder.unet, 'all');
    const parameters = randomLora(targets, scale, 4);
    const live = await loadPipeline(model, { threads: 1, live: { targets, scale, parameters } });
    const [condition] = await live.encode(['a red tulip'], '');
    const ask = () => live.denoiser(1).predict(normal(2), 300, [condition!]);
    expect(largest(await ask(), await output([{ path: adapter, weight: 1 }]))).toBeLessThan(1e-5);
    for (const [name, p] of parameters) if (name.endsWith('lora_up.weight')) (p.data as Float32Array).fill(0);
    expect(largest(await ask(), await output([]))).toBeLessThan(1e-6);
    await live.close();
  });
});
