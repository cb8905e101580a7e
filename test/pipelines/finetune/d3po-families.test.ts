import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { z } from 'zod';
import { portType } from '#models/autodiff/precision.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets, insertLora } from '#models/training/lora.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { GeneratePayload, jobEvents, TunePayload, TuneResult } from '#pipelines/engine/jobs/payloads.ts';
import { buildD3poGraph } from '#pipelines/finetune/d3po-graph.ts';
import { networkPorts } from '#pipelines/finetune/network-ports.ts';
import { readMetrics } from '#pipelines/runs/metrics-log.ts';
import { isBatched, stackFor, toPort } from '#pipelines/sampling/feeds.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { gaussianLogProb } from '#pipelines/sampling/trajectory.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { recordedContext } from '#test/support/job-context.ts';

type SampleFile = z.output<typeof jobEvents.sampleFile>;

const root = mkdtempSync(join(tmpdir(), 'northlight-d3po-families-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const items = 2;
const rows = 2 * items;
const TIMESTEPS = [901, 500, 701, 101];
const PROMPTS = ['red cat', 'tree', 'tree', '2'];

test.each([
  ['sd1', 'one timestep for all in the file', 3],
  ['sdxl', 'two encoders and numbers of the size', 3],
  ['lcm', 'the guidance scale as an input', 3],
  ['sd-turbo', 'no guidance', 0],
  ['sd3', 'pooled texts', 3],
  ['flux-dev', 'packed patches, shared positions', 3.5],
  ['flux-old-ids', 'positions per sample', 3.5],
  ['pixart-alpha', 'a mask of tokens, and a variance that is left out', 3],
  ['dit-classes', 'classes in place of texts', 3],
  ['float16', 'everything in 16 bits', 3],
  ['baked', 'one sample at a time in the file', 3],
])('the training graph of %s (%s) is the network that samples, at every row', async (name, _what, guidanceScale) => {
  const folder = tinyFolder(name).write(join(root, name));
  const bare = await loadPipeline(folder, { threads: 1 });
  const targets = findLoraTargets(bare.folder.unet, 'all');
  expect(targets.length).toBeGreaterThan(1);
  const scale = { rank: 1, alpha: 1 };
  const parameters = randomLora(targets, scale, 3);
  await bare.close();
  const live = await loadPipeline(folder, { threads: 1, live: { targets, scale, parameters } });
  const { model } = live;
  const denoiser = live.denoiser(guidanceScale);
  const prompts = name === 'dit-classes' ? ['tree', '0', '1', 'kitty'] : PROMPTS;
  const conditions = await live.encode(prompts, name === 'dit-classes' ? '' : 'moon');
  const inputs = conditions.map((c) => denoiser.inputs(c));
  const ports = networkPorts(model, inputs[0]!.prompt);
  const graph = buildD3poGraph({
    unet: insertLora(live.folder.unet, targets, scale, parameters),
    parameters: [...parameters.keys()],
    items,
    dims: denoiser.networkDims,
    ports,
    guidanceScale: inputs[0]!.negative ? guidanceScale : null,
    beta: 1,
    ratioClip: null,
    kernels: 'ort',
  });

  const size = numel(denoiser.dims);
  const rng = new Rng(4);
  const normal = (label: string) => rng.fork(label).fillNormal(new Float32Array(rows * size));
  const [x, prev, reference] = [normal('x'), normal('prev'), normal('reference')];
  const row = (all: Float32Array, r: number) => all.subarray(r * size, (r + 1) * size);
  const [a, b, std] = [0.9, -0.6, 1.1];
  const arranged = (all: Float32Array) => {
    const out = new Float32Array(all.length);
    for (let r = 0; r < rows; r++) out.set(denoiser.arrange(row(all, r)), r * size);
    return f32([rows, ...denoiser.networkDims], out);
  };
  const column = (v: number) => f32([rows, ...denoiser.networkDims.map(() => 1)], new Float32Array(rows).fill(v));
  const declared = new Map(model.denoiser.component.signature.inputs.map((p) => [p.name, p]));
  const times = TIMESTEPS.map((t) => t * model.denoiser.timestepScale);
  const feeds: Record<string, Tensor> = {
    sample: arranged(x),
    prev: arranged(prev),
    reference: arranged(reference),
    timestep: toPort(portType(declared.get(model.denoiser.timestep)!.dtype), f32([rows], times)),
    a: column(a),
    b: column(b),
    std: column(std),
    weight: f32([items], [1, 1]),
    ...Object.fromEntries(parameters),
  };
  for (const { name: port, dtype } of ports.conditions) {
    const wide = { ...declared.get(port)!, dtype: portType(dtype) };
    feeds[`prompt/${port}`] = stackFor(
      wide,
      inputs.map((i) => i.prompt.get(port)!),
    );
    if (inputs[0]!.negative && isBatched(wide, inputs[0]!.prompt.get(port)!))
      feeds[`negative/${port}`] = stackFor(
        wide,
        inputs.map((i) => i.negative!.get(port)!),
      );
  }
  const session = await createSession(encodeModel(graph.model), { training: true, threads: 1 });
  const out = await session.run(feeds);

  // The same by asking the sampling network one sample at a time.
  const logRatios: number[] = [];
  for (const [r, t] of TIMESTEPS.entries()) {
    const y = await denoiser.predict(row(x, r), t, [conditions[r]!]);
    const mean = Float64Array.from(y, (v, d) => a * row(x, r)[d]! + b * v);
    const refMean = Float64Array.from(y, (_, d) => row(prev, r)[d]! - std * row(reference, r)[d]!);
    logRatios.push(gaussianLogProb(row(prev, r), mean, std) - gaussianLogProb(row(prev, r), refMean, std));
  }
  const tolerance = name === 'float16' ? 5e-2 : 1e-4;
  for (const [r, wanted] of logRatios.entries()) {
    expect(Math.abs((out.logRatio!.data as Float32Array)[r]! - wanted)).toBeLessThan(tolerance);
  }
  expect(new Set(logRatios.map((v) => v.toFixed(6))).size).toBe(rows);
  // The positions of Flux's text are all zero, and so is what their weights get.
  const learning = [...parameters.keys()].filter((n) => !n.includes('txt_ids'));
  const gradients = learning.map((n) => out[`grad/${n}`]!.data as Float32Array);
  expect(gradients.every((g) => g.some((v) => v !== 0) && g.every(Number.isFinite))).toBe(true);
  await session.release();
  await live.close();
});

/** Pictures of two prompts with their trajectories, paired in the order they were made. */
async function madePairs(
  model: string,
  project: string,
  change: Partial<GeneratePayload>,
): Promise<TunePayload['pairs']> {
  const context = recordedContext(project, 'generate');
  const payload = {
    modelPath: model,
    adapterPath: null,
    prompts: ['red cat', 'tree'],
    negativePrompt: '',
    count: 2,
    steps: 3,
    scheduler: 'ddim' as const,
    eta: 1,
    guidanceScale: 3,
    seed: 1,
    keepTrajectories: true,
    shareInitialNoise: false,
    ...change,
  };
  await jobs.generate(payload, context);
  const files = context.events.filter((e) => e.topic === 'sampleFile').map((e) => e.data as SampleFile);
  const made = files.map(({ hash, prompt }) => ({
    hash,
    prompt,
    trajectoryPath: join(project, 'trajectories', `${hash}.safetensors`),
  }));
  return [...Map.groupBy(made, (m) => m.prompt).values()].map(([winner, loser]) => ({
    winner: winner!,
    loser: loser!,
  }));
}

test.each([
  ['sd1', {}],
  ['sdxl', {}],
  ['lcm', { guidanceScale: 6 }],
  ['flux-dev', { scheduler: 'flow-match-sde', eta: 0.7 }],
  ['sd3', { scheduler: 'flow-match-dance', eta: 0.3 }],
  ['dit-classes', { prompts: ['tree', 'kitty'] }],
] as const)(
  '%s is tuned from its own pictures: at the reference first, away from it then, and the adapter is verified',
  async (name, change) => {
    const project = join(root, `project-${name}`);
    const model = tinyFolder(name).write(join(root, `${name}-tuned`));
    const pairs = await madePairs(model, project, change as Partial<GeneratePayload>);
    const context = recordedContext(project, 'tune');
    const runDirectory = join(project, 'runs', name);
    const result = (await jobs.tune(
      {
        runId: name,
        runDirectory,
        algorithm: 'd3po',
        modelPath: model,
        config: { steps: 4, itemsPerUpdate: 2, rank: 2, beta: 100, learningRate: 1e-2, stripEvery: 4 },
        pairs,
        stripPrompts: [name === 'dit-classes' ? 'tree' : 'red cat'],
      },
      context,
    )) as TuneResult;
    const metrics = readMetrics(runDirectory);
    expect(metrics[0]!.values.loss).toBeCloseTo(Math.LN2, 2);
    expect(metrics[0]!.values.kl).toBeLessThan(1e-5);
    expect(metrics.at(-1)!.values.kl).toBeGreaterThan(metrics[0]!.values.kl!);
    expect(result.verifiedDifference).toBeLessThan(1e-5);
    const check = (await jobs.verify(
      { modelPath: model, adapterPath: result.adapterPath },
      recordedContext(project, 'verify'),
    )) as {
      effect: number;
    };
    expect(check.effect).toBeGreaterThan(0);
  },
);

test('prompts of different numbers of runs are refused together, by name', async () => {
  const project = join(root, 'project-lengths');
  const model = tinyFolder('sd1').write(join(root, 'sd1-lengths'));
  const long = 'the old blue house, very small, in the sun, with big white dog, a green tree';
  const pairs = await madePairs(model, project, { prompts: ['red cat', long] });
  const payload: TunePayload = {
    runId: 'lengths',
    runDirectory: join(project, 'runs', 'lengths'),
    algorithm: 'd3po',
    modelPath: model,
    config: {},
    pairs,
    stripPrompts: ['tree'],
  };
  await expect(jobs.tune(payload, recordedContext(project, 'lengths'))).rejects.toMatchObject({
    code: 'tune/prompt-lengths',
    message: expect.stringContaining('green tree'),
  });
});
