import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { z } from 'zod';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets, insertLora } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { createNodeHost } from '#pipelines/engine/hosts/node-host.ts';
import type { FromCompute } from '#pipelines/engine/job-protocol.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { GeneratePayload, jobEvents, TunePayload, TuneResult } from '#pipelines/engine/jobs/payloads.ts';
import { orderedShare, pick, stepWeights } from '#pipelines/finetune/d3po.ts';
import { buildD3poGraph } from '#pipelines/finetune/d3po-graph.ts';
import { d3poLoss } from '#pipelines/finetune/d3po-loss.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { readMetrics } from '#pipelines/runs/metrics-log.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { gaussianLogProb, readTrajectory, writeTrajectory } from '#pipelines/sampling/trajectory.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { TINY_CONFIG, writeTinyModel } from '#test/support/tiny-model.ts';

type SampleFile = z.output<typeof jobEvents.sampleFile>;
type Pair = TunePayload['pairs'][number];

// Milliseconds a step on a quiet machine, a hundred times that beside a training run.
vi.setConfig({ testTimeout: 300_000 });

const folder = mkdtempSync(join(tmpdir(), 'northlight-d3po-'));
const model = join(folder, 'tiny');
const DIMS = [3, 8, 8];
const SIZE = 192;
const CONTEXT = [TINY_CONFIG.tokens, TINY_CONFIG.textWidth];
const STEPS = 4;
let base: ImagePipeline;
let pairs: Pair[];

/** Pictures of one prompt, brightest first, each beaten only by brighter ones: a preference that is easy to learn. */
async function brightestFirst(project: string, change: Partial<GeneratePayload> = {}): Promise<Pair[]> {
  const context = recordedContext(project, 'generate');
  await jobs.generate(
    {
      modelPath: model,
      adapterPath: null,
      prompts: ['a red tulip', 'a white lily'],
      negativePrompt: '',
      count: 4,
      steps: STEPS,
      scheduler: 'ddim',
      eta: 1,
      guidanceScale: 2,
      seed: 1,
      keepTrajectories: true,
      shareInitialNoise: false,
      ...change,
    },
    context,
  );
  const files = context.events.filter((e) => e.topic === 'sampleFile').map((e) => e.data as SampleFile);
  const rated = await Promise.all(
    files.map(async ({ hash, prompt }) => {
      const { data } = await decodeImage(join(project, 'samples', `${hash}.png`));
      const trajectoryPath = join(project, 'trajectories', `${hash}.safetensors`);
      return { sample: { hash, prompt, trajectoryPath }, light: data.reduce((a, b) => a + b, 0) };
    }),
  );
  return [...Map.groupBy(rated, (r) => r.sample.prompt).values()].flatMap((group) => {
    const sorted = group.sort((a, b) => b.light - a.light).map((r) => r.sample);
    return sorted.flatMap((winner, i) => sorted.slice(i + 1).map((loser) => ({ winner, loser })));
  });
}

beforeAll(async () => {
  writeTinyModel(model);
  base = await loadPipeline(model, { threads: 1 });
  pairs = await brightestFirst(join(folder, 'project'));
});
afterAll(async () => {
  await base?.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

function payloadOf(name: string, config: Record<string, unknown>, own: readonly Pair[] = pairs): TunePayload {
  return {
    runId: name,
    runDirectory: join(folder, 'project', 'runs', name),
    algorithm: 'd3po',
    modelPath: model,
    config: {
      steps: 12,
      itemsPerUpdate: 2,
      rank: 2,
      beta: 100,
      learningRate: 1e-3,
      checkpointEvery: 3,
      stripEvery: 5,
      ...config,
    },
    pairs: [...own],
    stripPrompts: ['a red tulip'],
  };
}

const contextOf = (name: string, onEvent?: Parameters<typeof recordedContext>[2]) =>
  recordedContext(join(folder, 'project'), name, onEvent);

async function tune(name: string, config: Record<string, unknown> = {}, own: readonly Pair[] = pairs) {
  const context = contextOf(name);
  const payload = payloadOf(name, config, own);
  const result = (await jobs.tune(payload, context)) as TuneResult;
  return { result, context, metrics: readMetrics(payload.runDirectory), bytes: readFileSync(result.adapterPath) };
}

describe('the training graph', () => {
  const items = 2;
  const rows = 2 * items;
  const scale = { rank: 2, alpha: 2 };
  const beta = 20;
  const guidanceScale = 2;
  const WEIGHTS = [0.6, 1.7];
  let parameters: Map<string, Tensor>;
  let feeds: Record<string, Tensor>;
  let session: Session;

  async function sessionOf(ratioClip: number | null): Promise<Session> {
    const targets = findLoraTargets(base.folder.unet, 'all');
    const { model: graph } = buildD3poGraph({
      unet: insertLora(base.folder.unet, targets, scale, parameters),
      parameters: [...parameters.keys()],
      items,
      dims: DIMS,
      ports: {
        sample: 'sample',
        timestep: 'timestep',
        output: 'out_sample',
        conditions: [{ name: 'encoder_hidden_states', dtype: 'float32', dims: CONTEXT, batched: true }],
      },
      guidanceScale,
      beta,
      ratioClip,
      kernels: 'ort',
    });
    return createSession(encodeModel(graph), { training: true, threads: 1 });
  }

  beforeAll(async () => {
    const targets = findLoraTargets(base.folder.unet, 'all');
    parameters = new Map(
      [...randomLora(targets, scale, 8)].map(([name, t]) => [
        name,
        f32(
          t.dims,
          (t.data as Float32Array).map((v) => 0.3 * v),
        ),
      ]),
    );
    const rng = new Rng(3);
    const normal = (label: string, dims: readonly number[]) =>
      f32(dims, rng.fork(label).fillNormal(new Float32Array(dims.reduce((a, b) => a * b, 1))));
    const column = (values: number[]) => f32([rows, 1, 1, 1], values);
    feeds = {
      sample: normal('sample', [rows, ...DIMS]),
      prev: normal('prev', [rows, ...DIMS]),
      reference: normal('reference', [rows, ...DIMS]),
      timestep: i64([rows], [900, 500, 700, 100]),
      'prompt/encoder_hidden_states': normal('prompt', [rows, ...CONTEXT]),
      'negative/encoder_hidden_states': normal('negative', [rows, ...CONTEXT]),
      a: column([0.9, 0.8, 1.1, 0.95]),
      b: column([-0.3, -0.5, 0.2, -0.1]),
      std: column([0.9, 1.3, 0.8, 1.1]),
      weight: f32([items], WEIGHTS),
    };
    session = await sessionOf(null);
  });
  afterAll(() => session?.release());

  const run = async (change: ReadonlyMap<string, Tensor> = parameters, s = session) =>
    s.run({ ...feeds, ...Object.fromEntries(change) });

  /** log-ratios and KL of every row from a network run on its own, one row at a time, in float64. */
  async function byHand(): Promise<{ logRatio: number[]; kl: number[] }> {
    const targets = findLoraTargets(base.folder.unet, 'all');
    const net = await createSession(encodeModel(insertLora(base.folder.unet, targets, scale, parameters)), {
      threads: 1,
    });
    const row = (name: string, r: number) => {
      const all = feeds[name]!.data as Float32Array;
      return all.subarray((r * all.length) / rows, ((r + 1) * all.length) / rows);
    };
    const logRatio: number[] = [];
    const kl: number[] = [];
    for (let r = 0; r < rows; r++) {
      const ask = async (context: Float32Array) =>
        (
          await net.run({
            sample: f32([1, ...DIMS], row('sample', r)),
            timestep: i64([1], [(feeds.timestep!.data as BigInt64Array)[r]!]),
            encoder_hidden_states: f32([1, ...CONTEXT], context),
          })
        ).out_sample!.data as Float32Array;
      const c = await ask(row('prompt/encoder_hidden_states', r));
      const u = await ask(row('negative/encoder_hidden_states', r));
      const [a, b, std] = ['a', 'b', 'std'].map((name) => row(name, r)[0]!) as [number, number, number];
      const x = row('sample', r);
      const prev = row('prev', r);
      const mean = Float64Array.from(x, (v, d) => a * v + b * (u[d]! + guidanceScale * (c[d]! - u[d]!)));
      const refMean = Float64Array.from(prev, (v, d) => v - std * row('reference', r)[d]!);
      logRatio.push(gaussianLogProb(prev, mean, std) - gaussianLogProb(prev, refMean, std));
      kl.push(mean.reduce((s, m, d) => s + (m - refMean[d]!) ** 2, 0) / SIZE / (2 * std * std));
    }
    await net.release();
    return { logRatio, kl };
  }

  test.each([null, 0.1])(
    'has the loss, log-ratios and KL of the formula on separately run outputs (clip %s)',
    async (clip) => {
      const s = clip === null ? session : await sessionOf(clip);
      const out = await run(parameters, s);
      if (s !== session) await s.release();
      const { logRatio, kl } = await byHand();
      for (let r = 0; r < rows; r++) {
        expect((out.logRatio!.data as Float32Array)[r]).toBeCloseTo(logRatio[r]!, 4);
        expect((out.kl!.data as Float32Array)[r]).toBeCloseTo(kl[r]!, 4);
      }
      const losses = [0, 1].map((i) => d3poLoss(logRatio[i]!, logRatio[i + items]!, beta * WEIGHTS[i]!, clip).loss);
      const mean = (losses[0]! + losses[1]!) / 2;
      expect(Math.abs((out.loss!.data as Float32Array)[0]! - mean)).toBeLessThan(1e-3 * Math.max(1, mean));
    },
  );

  test('has the gradient of central differences, parameter by parameter and along a random direction', async () => {
    const out = await run();
    const gradient = (name: string) => out[`grad/${name}`]!.data as Float32Array;
    const lossAt = async (h: number, direction: (name: string) => Float32Array | null) => {
      const moved = new Map(
        [...parameters].map(([name, t]) => {
          const d = direction(name);
          return [
            name,
            d === null
              ? t
              : f32(
                  t.dims,
                  (t.data as Float32Array).map((v, i) => v + h * d[i]!),
                ),
          ];
        }),
      );
      return ((await run(moved)).loss!.data as Float32Array)[0]!;
    };
    const names = [...parameters.keys()];
    const chosen = [
      names[0]!,
      names[1]!,
      ...names.filter((n) => /attn2\.to_[kq]|modulation|conv_out/.test(n)).slice(0, 6),
    ];
    const h = 1e-2;
    for (const own of chosen) {
      // Along its own sign, so that float32 rounding of the loss is small beside the change.
      const sign = gradient(own).map(Math.sign);
      const expected = gradient(own).reduce((s, g) => s + Math.abs(g), 0);
      expect(expected).toBeGreaterThan(0);
      const unit = sign.map((v) => v / Math.sqrt(sign.length));
      const at = (k: number) => lossAt(k, (n) => (n === own ? unit : null));
      const slope = ((await at(h)) - (await at(-h))) / (2 * h);
      expect(Math.abs(slope - expected / Math.sqrt(sign.length))).toBeLessThan(2e-2 * Math.abs(slope) + 2e-4);
    }
    const rng = new Rng(12);
    const directions = new Map(names.map((n) => [n, rng.fork(n).fillNormal(new Float32Array(gradient(n).length))]));
    const expected = names.reduce((s, n) => s + gradient(n).reduce((t, g, i) => t + g * directions.get(n)![i]!, 0), 0);
    const small = 2e-4;
    const at = (k: number) => lossAt(k, (n) => directions.get(n)!);
    const slope = ((await at(small)) - (await at(-small))) / (2 * small);
    expect(Math.abs(slope - expected)).toBeLessThan(2e-2 * Math.abs(expected) + 1e-2);
  });
});

describe('a run', () => {
  test('starts at ln 2 and at the reference', async () => {
    // β multiplies the rounding of the log-ratios, which is that of float32 states divided by the smallest σ: some 1e-7.
    const { metrics } = await tune('start', { steps: 1, itemsPerUpdate: 8, beta: 10 });
    expect(metrics[0]!.values.loss).toBeCloseTo(Math.LN2, 5);
    expect(metrics[0]!.values.kl).toBeLessThan(1e-5);
    expect(metrics[0]!.values.gradientNorm).toBeGreaterThan(0);
  });

  test('learns an easy preference: pairs come into order, the loss falls below ln 2, and brighter pictures are made', async () => {
    const { metrics, result } = await tune('easy', {
      steps: 160,
      itemsPerUpdate: 4,
      learningRate: 3e-3,
      stripEvery: 1000,
    });
    const last = metrics.slice(-10);
    const mean = (key: string) => last.reduce((s, m) => s + m.values[key]!, 0) / last.length;
    expect(mean('orderedShare')).toBeGreaterThan(0.9);
    expect(mean('loss')).toBeLessThan(0.5);
    expect(mean('kl')).toBeGreaterThan(0);
    const light = async (adapterPath: string | null) => {
      const context = contextOf(`easy-pictures-${adapterPath === null}`);
      await jobs.compare(
        {
          modelPath: model,
          adapterAPath: adapterPath,
          adapterBPath: adapterPath,
          prompts: ['a red tulip', 'a white lily'],
          perPrompt: 4,
          negativePrompt: '',
          steps: STEPS,
          scheduler: 'ddim',
          eta: 1,
          guidanceScale: 2,
          seed: 77,
        },
        context,
      );
      const hashes = context.events.filter((e) => e.topic === 'sampleFile').map((e) => (e.data as SampleFile).hash);
      const lights = await Promise.all(
        hashes.map(async (hash) => {
          const { data } = await decodeImage(join(folder, 'project', 'samples', `${hash}.png`));
          return data.reduce((a, b) => a + b, 0) / data.length;
        }),
      );
      return lights.reduce((a, b) => a + b, 0) / lights.length;
    };
    expect(await light(result.adapterPath)).toBeGreaterThan((await light(null)) + 2);
  });

  test('that was stopped and resumed writes the adapter of an unbroken run, byte for byte, and the same metrics', async () => {
    const whole = await tune('whole');
    for (const after of [1, 10]) {
      const name = `stopped-${after}`;
      const payload = payloadOf(name, {});
      const first = contextOf(name, (context, topic) => {
        if (topic === 'metrics' && context.events.filter((e) => e.topic === 'metrics').length === after)
          context.control.request = 'pause';
      });
      expect(await jobs.tune(payload, first)).toBeNull();
      expect(existsSync(join(payload.runDirectory, 'adapter.safetensors'))).toBe(false);
      const rest = await tune(name);
      expect(rest.context.events.filter((e) => e.topic === 'metrics')).toHaveLength(12 - after);
      expect(rest.bytes.equals(whole.bytes)).toBe(true);
      expect(rest.metrics).toEqual(whole.metrics);
    }
  });

  test('killed at random moments ends, when resumed, with the adapter of an unbroken run', {
    timeout: 900_000,
  }, async () => {
    const config = { steps: 40, stripEvery: 15 };
    const whole = await tune('unkilled', config);
    const payload = payloadOf('killed', config);
    const rng = new Rng(21);
    const host = createNodeHost();
    let kills = 0;
    let result: TuneResult | null = null;
    for (let attempt = 0; attempt < 12 && result === null; attempt++) {
      const spec = { jobId: 'killed', kind: 'tune' as const, project: join(folder, 'project'), payload, threads: 1 };
      const compute = host.fork();
      // The first three attempts are killed: after some updates, and some milliseconds into whatever comes next.
      let left = kills < 3 ? 2 + rng.int(8) : Number.POSITIVE_INFINITY;
      let ending: FromCompute | null = null;
      compute.onMessage((message) => {
        if (message.t === 'done' || message.t === 'failed') ending = message;
        if (message.t === 'event' && message.topic === 'metrics' && --left === 0) {
          void sleep(rng.uniform() * 15).then(() => compute.kill());
        }
      });
      const detail = new Promise<string>((done) => compute.onExit(done));
      compute.send({ t: 'start', spec });
      if ((await detail).includes('SIGKILL')) kills++;
      const ended = ending as FromCompute | null;
      if (ended?.t === 'failed') throw new Error(ended.error.message);
      if (ended?.t === 'done') result = ended.result as TuneResult;
    }
    expect(kills).toBe(3);
    expect(result).not.toBeNull();
    expect(readFileSync(result!.adapterPath).equals(whole.bytes)).toBe(true);
    expect(readMetrics(payload.runDirectory)).toEqual(whole.metrics);
  });

  test('told to stop and keep writes the adapter as it is then, and says after how many updates', async () => {
    const short = await tune('short', { steps: 5 });
    const context = contextOf('kept', (c, topic) => {
      if (topic === 'metrics' && c.events.filter((e) => e.topic === 'metrics').length === 5)
        c.control.request = 'stop-and-keep';
    });
    const kept = (await jobs.tune(payloadOf('kept', {}), context)) as TuneResult;
    expect(kept.steps).toBe(5);
    expect(kept.hash).toBe(short.result.hash);
  });

  test('writes an adapter that, read back, is the one it trained', async () => {
    const { result } = await tune('reread', { steps: 20, learningRate: 1e-2 });
    expect(result.verifiedDifference).toBeLessThan(1e-6);
    const check = (await jobs.verify({ modelPath: model, adapterPath: result.adapterPath }, contextOf('verify'))) as {
      difference: number;
      effect: number;
    };
    expect(check.effect).toBeGreaterThan(1e-3);
    expect(check.difference).toBeLessThan(1e-3 * Math.max(1, check.effect));
  });

  test('takes trajectories of an adapter against the base model: with weight 0 nothing changes', async () => {
    const relabelled = pairs.slice(0, 3).map(({ winner, loser }) => {
      const [w, l] = [winner, loser].map((s) => {
        const { trajectory, origin } = readTrajectory(s.trajectoryPath);
        const trajectoryPath = join(folder, `of-adapter-${s.hash}.safetensors`);
        writeTrajectory(trajectoryPath, trajectory, { ...origin, adapterHash: 'f'.repeat(64) });
        return { ...s, trajectoryPath };
      });
      return { winner: w!, loser: l! };
    });
    const ours = await tune('noise-path', { steps: 6 }, pairs.slice(0, 3));
    const other = await tune('base-path', { steps: 6 }, relabelled);
    for (const [i, { values }] of ours.metrics.entries()) {
      const theirs = other.metrics[i]!.values;
      expect(Math.abs(values.loss! - theirs.loss!)).toBeLessThan(1e-3);
      expect(Math.abs(values.kl! - theirs.kl!)).toBeLessThan(1e-5);
    }
  });

  test('takes trajectories that an adapter made as steps of the base model that went astray', async () => {
    const targets = findLoraTargets(base.folder.unet, 'all');
    const config = { rank: 2, alpha: 2, targets: 'all' as const };
    const adapterPath = join(folder, 'maker.safetensors');
    writeLoraFile(adapterPath, { targets, config, parameters: randomLora(targets, config, 5) });
    const made = await brightestFirst(join(folder, 'project'), { adapterPath, seed: 2 });
    // The run starts at the base model, whatever made the pictures: no distance, and ln 2.
    const { metrics } = await tune('astray', { steps: 1, itemsPerUpdate: 4 }, made);
    expect(metrics[0]!.values.loss).toBeCloseTo(Math.LN2, 3);
    expect(metrics[0]!.values.kl).toBeLessThan(1e-5);
  });

  test.each([
    ['no comparison', () => payloadOf('bad', {}, []), 'tune/no-pairs'],
    ['an algorithm nobody knows', () => ({ ...payloadOf('bad', {}), algorithm: 'd4po' }), 'tune/algorithm'],
    [
      'a model that is not there',
      () => ({ ...payloadOf('bad', {}), modelPath: join(folder, 'nowhere') }),
      'model/no-folder',
    ],
    [
      'a trajectory that is not there',
      () =>
        payloadOf('bad', {}, [
          { winner: pairs[0]!.winner, loser: { ...pairs[0]!.loser, trajectoryPath: join(folder, 'no.safetensors') } },
        ]),
      /^(file|safetensors)\//,
    ],
    [
      'a trajectory that is a picture',
      () =>
        payloadOf('bad', {}, [
          { winner: pairs[0]!.winner, loser: { ...pairs[0]!.loser, trajectoryPath: join(model, 'model_index.json') } },
        ]),
      /^(safetensors|trajectory)\//,
    ],
    [
      'other numbers of steps',
      () =>
        payloadOf('bad', {}, [
          { winner: pairs[0]!.winner, loser: { ...pairs[0]!.loser, trajectoryPath: changed('steps') } },
        ]),
      'tune/mixed',
    ],
    [
      'pictures of another size',
      () =>
        payloadOf('bad', {}, [
          {
            winner: { ...pairs[0]!.winner, trajectoryPath: changed('dims') },
            loser: { ...pairs[0]!.loser, trajectoryPath: changed('dims') },
          },
        ]),
      'tune/other-model',
    ],
  ] as [string, () => TunePayload, string | RegExp][])('refuses %s by a named error', async (_title, make, code) => {
    const wanted = typeof code === 'string' ? code : expect.stringMatching(code);
    await expect(jobs.tune(make(), contextOf('bad'))).rejects.toMatchObject({ name: 'NorthlightError', code: wanted });
  });

  /** A trajectory with something of it changed. */
  function changed(what: 'steps' | 'dims'): string {
    const { trajectory, origin } = readTrajectory(pairs[0]!.loser.trajectoryPath);
    const path = join(folder, `changed-${what}.safetensors`);
    const other =
      what === 'dims'
        ? { ...trajectory, dims: [3, 4, 16] }
        : {
            ...trajectory,
            states: trajectory.states.slice(0, STEPS * SIZE),
            logProbs: trajectory.logProbs.slice(1),
            steps: trajectory.steps.slice(1),
          };
    writeTrajectory(path, other, origin);
    return path;
  }
});

test('items of an epoch are each taken once, in an order that only the seed and the epoch decide', () => {
  const items = Array.from({ length: 12 }, (_, i) => i);
  const epoch = (seed: number, first: number) =>
    [0, 1, 2, 3].flatMap((k) => pick(items, first + k, { itemsPerUpdate: 3, seed }));
  expect([...epoch(1, 0)].sort((a, b) => a - b)).toEqual(items);
  expect(epoch(1, 0)).toEqual(epoch(1, 0));
  expect(epoch(1, 4)).not.toEqual(epoch(1, 0));
  expect(epoch(2, 0)).not.toEqual(epoch(1, 0));
  // An update across the border takes from both epochs.
  expect(pick(items, 2, { itemsPerUpdate: 5, seed: 1 })).toHaveLength(5);
});

test('a pair is ordered by the sum over its steps; one not seen yet does not count', () => {
  const none = Number.NaN;
  expect(orderedShare(Float32Array.of(none, none), 1, 2)).toBe(0);
  expect(orderedShare(Float32Array.of(1, none, -2, 1, none, none), 3, 2)).toBe(0.5);
  expect(orderedShare(Float32Array.of(3, -1, -2, 1), 2, 2)).toBe(0.5);
});

test('weights of the steps have mean one, and undo how little a late step moves with the output', async () => {
  const { trajectory } = readTrajectory(pairs[0]!.winner.trajectoryPath);
  expect(stepWeights(trajectory.steps, 'uniform')).toEqual([1, 1, 1, 1]);
  const weights = stepWeights(trajectory.steps, 'output');
  expect(weights.reduce((a, b) => a + b, 0) / STEPS).toBeCloseTo(1, 12);
  const moved = trajectory.steps.map((s, i) => (weights[i]! * Math.abs(s.output)) / s.std);
  for (const m of moved) expect(m).toBeCloseTo(moved[0]!, 9);
});
