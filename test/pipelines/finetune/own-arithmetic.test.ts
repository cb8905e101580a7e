import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { portType } from '#models/autodiff/precision.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel, writeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets, initLora, insertLora } from '#models/training/lora.ts';
import { buildD3poGraph, buildStandardisedGraph, type StepOptions } from '#pipelines/finetune/d3po-graph.ts';
import { networkPorts } from '#pipelines/finetune/network-ports.ts';
import {
  isRounded,
  roundingOf,
  standardisedByRow,
  standardisedByStep,
  toOwnArithmetic,
} from '#pipelines/finetune/own-arithmetic.ts';
import { stackFor, toPort } from '#pipelines/sampling/feeds.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { toHalfModel } from '#test/support/half-model.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const LOSS_SCALE = 64;
/** A late DDIM step: the mean moves 79 σ with the network's output. */
const FINE = { timestep: 332, sample: 0.862, output: -0.507, std: 0.00643 };

const root = mkdtempSync(join(tmpdir(), 'northlight-own-'));
let base: ImagePipeline;
let step: Omit<StepOptions, 'compute'>;
let start: Map<string, Tensor<'float32'>>;
let sessions: Record<'float32' | 'stored', Session>;
let byRow: Session;
/** One pair that the float16 sampler made, with its noise as the reference. */
let feeds: Record<string, Tensor>;

beforeAll(async () => {
  const unet = join(writeTinyModel(join(root, 'half')), 'unet', 'model.onnx');
  writeModel(toHalfModel(readModel(unet), 'float16', 'float32'), unet);
  base = await loadPipeline(join(root, 'half'), { threads: 1 });
  const targets = findLoraTargets(base.folder.unet, 'all');
  const scale = { rank: 2, alpha: 2 };
  start = initLora(targets, scale, new Rng(0).fork('lora'));
  const denoiser = base.denoiser(2);
  const [condition] = await base.encode(['a red tulip'], '');
  const inputs = denoiser.inputs(condition!);
  step = {
    unet: insertLora(base.folder.unet, targets, scale, start),
    parameters: [...start.keys()],
    dims: denoiser.networkDims,
    ports: networkPorts(base.model, inputs.prompt),
    guidanceScale: 2,
    kernels: 'ort',
  };
  const open = (compute: 'float32' | 'stored') => {
    const { model } = buildD3poGraph({ ...step, compute, items: 1, beta: 1, ratioClip: null });
    return createSession(encodeModel(model), { training: true, threads: 1 });
  };
  sessions = { float32: await open('float32'), stored: await open('stored') };
  const one = buildStandardisedGraph({ ...step, compute: 'float32' });
  byRow = await createSession(encodeModel(one), { training: true, threads: 1 });

  const size = numel(denoiser.dims);
  const normal = (label: string) => new Rng(5).fork(label).fillNormal(new Float32Array(2 * size));
  const [x, noise, prev] = [normal('x'), normal('noise'), new Float32Array(2 * size)];
  for (const row of [0, 1]) {
    const own = x.subarray(row * size, (row + 1) * size);
    const y = await denoiser.predict(own, FINE.timestep, [condition!]);
    for (let d = 0; d < size; d++)
      prev[row * size + d] = FINE.sample * own[d]! + FINE.output * y[d]! + FINE.std * noise[row * size + d]!;
  }
  const dims = [2, ...denoiser.networkDims];
  const column = (v: number) => f32([2, ...denoiser.networkDims.map(() => 1)], [v, v]);
  const declared = new Map(base.model.denoiser.component.signature.inputs.map((p) => [p.name, p]));
  const stacked = (port: string, from: NonNullable<ReturnType<typeof denoiser.inputs>['negative']>) => {
    const wide = { ...declared.get(port)!, dtype: portType(declared.get(port)!.dtype) };
    return stackFor(wide, [from.get(port)!, from.get(port)!]);
  };
  const time = portType(declared.get(base.model.denoiser.timestep)!.dtype);
  feeds = {
    sample: f32(dims, x),
    prev: f32(dims, prev),
    reference: f32(dims, noise),
    timestep: toPort(time, f32([2], [FINE.timestep, FINE.timestep])),
    a: column(FINE.sample),
    b: column(FINE.output),
    std: column(FINE.std),
    weight: f32([1], [1]),
    ...Object.fromEntries(step.ports.conditions.map(({ name }) => [`prompt/${name}`, stacked(name, inputs.prompt)])),
    ...Object.fromEntries(
      step.ports.conditions.map(({ name }) => [`negative/${name}`, stacked(name, inputs.negative!)]),
    ),
  };
});
afterAll(async () => {
  for (const s of [sessions.float32, sessions.stored, byRow]) await s.release();
  await base.close();
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});

const scaled = { loss_scale: f32([], [LOSS_SCALE]) };

/** What an update would see: its gradient, flat, and the KL to the reference. */
async function update(compute: 'float32' | 'stored', given: Record<string, Tensor>) {
  const out = await sessions[compute].run({
    ...given,
    ...Object.fromEntries(start),
    ...(compute === 'stored' ? scaled : {}),
  });
  const by = compute === 'stored' ? LOSS_SCALE : 1;
  const gradient = step.parameters.flatMap((p) => [...(out[`grad/${p}`]!.data as Float32Array)].map((g) => g / by));
  return { gradient, kl: Math.max(...(out.kl!.data as Float32Array)) };
}

/** The same pair in a graph's own arithmetic. */
async function moved(compute: 'float32' | 'stored', byReference: boolean): Promise<Record<string, Tensor>> {
  const copy = (name: string) => f32(feeds[name]!.dims, (feeds[name]!.data as Float32Array).slice());
  const own = { ...feeds, prev: copy('prev'), reference: copy('reference'), ...(compute === 'stored' ? scaled : {}) };
  const how = compute === 'stored' ? standardisedByStep(sessions.stored, start) : standardisedByRow(byRow, start);
  const rows = [0, 1].map((row) => ({ row, byReference }));
  await toOwnArithmetic(how, rows, own);
  return own;
}

const norm = (v: readonly number[]) => Math.hypot(...v);
const apart = (a: readonly number[], b: readonly number[]) => norm(a.map((v, i) => v - b[i]!)) / norm(b);

describe('a fine step of a float16 network', () => {
  test('has an untrained adapter at the reference only in the arithmetic of the training graph', async () => {
    for (const compute of ['float32', 'stored'] as const) {
      expect((await update(compute, feeds)).kl).toBeGreaterThan(1e-4);
      expect((await update(compute, await moved(compute, true))).kl).toBeLessThan(1e-9);
      expect((await update(compute, await moved(compute, false))).kl).toBeLessThan(1e-9);
    }
  });

  test('gives in float16 the gradient of float32, within the rounding of 16 bits', async () => {
    const wide = await update('float32', await moved('float32', true));
    const narrow = await update('stored', await moved('stored', true));
    expect(apart(narrow.gradient, wide.gradient)).toBeLessThan(0.02);
    // As the sampler made it, rounding outweighs that many times.
    expect(apart((await update('stored', feeds)).gradient, wide.gradient)).toBeGreaterThan(0.05);
  });

  test('keeps its noise', async () => {
    const own = await moved('float32', true);
    expect(own.reference!.data).toEqual(feeds.reference!.data);
    const shift = (own.prev!.data as Float32Array).map((v, i) => v - (feeds.prev!.data as Float32Array)[i]!);
    // The network's output is of order one and rounded at about 2⁻¹¹.
    expect(Math.max(...shift.map(Math.abs))).toBeLessThan(16 * 2 ** -11 * Math.abs(FINE.output));
  });
});

describe('whether rounding shows in a step', () => {
  test('is asked of 16-bit weights only', () => {
    expect(roundingOf(base.folder.unet)).toBe(2 ** -11);
    expect(isRounded({ output: -0.5, std: 1e-9 }, 0, 1e6)).toBe(false);
  });

  test('grows with what the output moves in units of the noise, and with the root of the dimensions', () => {
    const dimensions = 64 * 64 * 4;
    // 2⁻¹¹ · 128 = 1/16 for each unit of |b|/σ.
    expect(isRounded({ output: -1.5, std: 1 }, 2 ** -11, dimensions)).toBe(false);
    expect(isRounded({ output: -1.7, std: 1 }, 2 ** -11, dimensions)).toBe(true);
    expect(isRounded({ output: -1.7, std: 1 }, 2 ** -11, dimensions / 4)).toBe(false);
  });
});
