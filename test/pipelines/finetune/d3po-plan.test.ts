import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { z } from 'zod';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { jobEvents, TunePayload, TuneResult } from '#pipelines/engine/jobs/payloads.ts';
import { d3po } from '#pipelines/finetune/d3po.ts';
import { readMetrics } from '#pipelines/runs/metrics-log.ts';
import { type RunPlan, readRunPlan } from '#pipelines/runs/run-plan.ts';
import { toHalfModel } from '#test/support/half-model.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const folder = mkdtempSync(join(tmpdir(), 'northlight-plan-'));
const project = join(folder, 'project');
const plain = join(folder, 'plain');
const half = join(folder, 'half');
const pairsOf = new Map<string, TunePayload['pairs']>();

beforeAll(async () => {
  writeTinyModel(plain);
  writeTinyModel(half);
  const unet = join(half, 'unet', 'model.onnx');
  writeModel(toHalfModel(readModel(unet), 'float16', 'float32'), unet);
  for (const modelPath of [plain, half]) {
    const context = recordedContext(project, `generate-${modelPath.slice(-5)}`.replaceAll('/', '-'));
    const settings = { negativePrompt: '', count: 2, steps: 3, scheduler: 'ddim', eta: 1, guidanceScale: 2, seed: 1 };
    await jobs.generate(
      {
        ...{ modelPath, adapterPath: null, prompts: ['a red tulip', 'a white lily'] },
        ...{ ...settings, keepTrajectories: true, shareInitialNoise: false },
      },
      context,
    );
    const files = context.events
      .filter((e) => e.topic === 'sampleFile')
      .map(({ data }) => data as z.output<typeof jobEvents.sampleFile>)
      .sort((a, b) => a.position - b.position);
    const side = (i: number) => {
      const { hash, prompt } = files[i]!;
      return { hash, prompt, trajectoryPath: join(project, 'trajectories', `${hash}.safetensors`) };
    };
    pairsOf.set(modelPath, [
      { winner: side(0), loser: side(1) },
      { winner: side(2), loser: side(3) },
    ]);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

async function tune(name: string, change: Record<string, unknown>, modelPath = plain) {
  const context = recordedContext(project, name);
  const runDirectory = join(project, 'runs', name);
  const config = { steps: 4, itemsPerUpdate: 4, rank: 2, beta: 100, learningRate: 1e-3, checkpointEvery: 2, ...change };
  const payload: TunePayload = {
    ...{ runId: name, runDirectory, algorithm: 'd3po', modelPath, config },
    ...{ pairs: pairsOf.get(modelPath)!, stripPrompts: ['a red tulip'] },
  };
  const result = (await jobs.tune(payload, context)) as TuneResult | null;
  const planned = context.events.filter((e) => e.topic === 'planned').map((e) => e.data as RunPlan);
  return { result, runDirectory, planned, metrics: readMetrics(runDirectory) };
}

const weightsOf = (path: string) =>
  [...readSafetensors(path).tensors.values()].flatMap((t) => [...(t.data as Float32Array)]);

describe('a run', () => {
  let whole: Awaited<ReturnType<typeof tune>>;
  beforeAll(async () => {
    whole = await tune('whole', {});
  });

  test('tells once what it will take, keeps it, and takes the same form when it goes on', async () => {
    expect(whole.planned).toEqual([readRunPlan(whole.runDirectory)]);
    expect(whole.planned[0]).toMatchObject({ memory: { kind: 'flat' }, parts: 1 });
    expect(whole.planned[0]!.totalSeconds).toBeGreaterThan(4 * whole.planned[0]!.secondsPerUpdate);
    const again = await tune('whole', {});
    expect(again.planned).toEqual(whole.planned);
    expect(again.result!.hash).toBe(whole.result!.hash);
  });

  test('is estimated as it is planned', async () => {
    const estimate = await d3po.estimate({
      ...{
        modelPath: plain,
        trajectoryPath: pairsOf.get(plain)![0]!.winner.trajectoryPath,
        stripPrompts: 1,
        threads: 1,
      },
      config: d3po.schema.parse({ steps: 4, itemsPerUpdate: 4, rank: 2 }),
    });
    expect(estimate.peakBytes).toBe(whole.planned[0]!.peakBytes);
  });

  test('with less memory does an update in parts, and learns the same', async () => {
    // Enough items that activations outweigh the graph.
    const many = { steps: 2, itemsPerUpdate: 64 };
    const whole = await tune('many', many);
    const tight = (0.5 * whole.planned[0]!.peakBytes + 0.5 * (await smallest())) / 1e9;
    const parts = await tune('parts', { ...many, memoryBudget: tight });
    expect(parts.planned[0]!.parts).toBeGreaterThan(1);
    expect(parts.planned[0]!.peakBytes).toBeLessThanOrEqual(1e9 * tight);
    const [a, b] = [whole, parts].map((r) => weightsOf(r.result!.adapterPath)) as [number[], number[]];
    const off = Math.hypot(...a.map((v, i) => v - b[i]!)) / Math.hypot(...a);
    expect(off).toBeLessThan(1e-4);
    const losses = [whole, parts].map((r) => r.metrics.map(({ values }) => values.loss!));
    losses[0]!.forEach((loss, i) => {
      expect(losses[1]![i]).toBeCloseTo(loss, 4);
    });
  });

  test('that cannot fit is refused before anything is trained', async () => {
    const refused = tune('refused', { memoryBudget: 0.2 });
    await expect(refused).rejects.toMatchObject({
      code: 'train/does-not-fit',
      hint: expect.stringMatching(/weights|batch/),
    });
    expect(existsSync(join(project, 'runs', 'refused', 'metrics.jsonl'))).toBe(false);
    expect(readRunPlan(join(project, 'runs', 'refused'))).toBeNull();
  });
});

/** Bytes of one item per run. */
async function smallest(): Promise<number> {
  const { planned } = await tune('smallest', { steps: 1, itemsPerUpdate: 1 });
  return planned[0]!.peakBytes;
}

describe('in float16 arithmetic', () => {
  const scaleAt = (runDirectory: string, step: number) => {
    const file = join(runDirectory, 'checkpoints', `step-${String(step).padStart(8, '0')}`, 'state.safetensors');
    return [...(readSafetensors(file).tensors.get('loss_scale')!.data as Float64Array)];
  };

  test('an overflow skips the update and halves the scale, and the same update is made then', async () => {
    // Gradients at the first scale are beyond what 16 bits hold.
    const run = await tune('overflow', { compute: 'stored', beta: 1e6 }, half);
    const [scale, good] = scaleAt(run.runDirectory, 4) as [number, number];
    expect(Math.log2(scale)).toBeLessThan(16);
    expect(Math.log2(scale)).toBe(Math.round(Math.log2(scale)));
    expect(good).toBeGreaterThan(0);
    expect(run.metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    for (const { values } of run.metrics) expect(Number.isFinite(values.gradientNorm)).toBe(true);
  });

  test('it learns what it learns in float32, within the rounding of 16 bits', async () => {
    // β small: the updates are then close to one another, and so comparable.
    const wide = await tune('wide', { beta: 1 }, half);
    const narrow = await tune('narrow', { beta: 1, compute: 'stored' }, half);
    expect(readFileSync(join(narrow.runDirectory, 'plan.json'), 'utf8')).toContain('parts');
    // Not each update: on some states of this network a normalisation meets hardly any variance, and 16 bits see another network there.
    // own-arithmetic.test.ts has the gradients of single steps.
    const ratios = narrow.metrics.map(({ values }, i) => values.gradientNorm! / wide.metrics[i]!.values.gradientNorm!);
    const middle = ratios.toSorted((a, b) => a - b).slice(1, 3);
    for (const ratio of middle) expect(ratio).toBeCloseTo(1, 1);
  });
});
