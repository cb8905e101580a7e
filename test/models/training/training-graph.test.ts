import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ATTENTION_PROJECTIONS, loraLossGraph, randomAdapter, withTarget } from '#build/bench/lib/sd-step.ts';
import { buildSdUnet, SD15, sdFeeds, TINY, writeWeights } from '#build/bench/lib/sd15-unet.ts';
import { isExternal } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { trainingSessionOptions } from '#models/runtime/training-options.ts';
import { numel, type Tensor } from '#models/tensor/tensor.ts';
import { globalNorm } from '#models/training/adamw.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import type { MemoryMode } from '#models/training/training-graph.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-test-'));
const DTYPES = ['float32', 'float16'] as const;

beforeAll(() => {
  for (const dtype of DTYPES) writeWeights(buildSdUnet(TINY, dtype, dtype), join(folder, dtype));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the UNet of Stable Diffusion 1.5, built here', () => {
  const published = z
    .object({ parameters: z.number(), modules: z.array(z.tuple([z.string(), z.string(), z.array(z.number())])) })
    .parse(JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'golden', 'sd15', 'modules.json'), 'utf8')));
  const unet = buildSdUnet(SD15, 'weights');

  test('has the published number of parameters', () => {
    expect(unet.weights.reduce((sum, w) => sum + numel(w.dims), 0)).toBe(published.parameters);
  });

  test('has the published modules with the published shapes', () => {
    const found = findLoraTargets(unet.model, 'all').map((t) =>
      [t.module, t.outFeatures, t.inFeatures, ...t.kernel].join(),
    );
    expect(found.sort()).toEqual(published.modules.map(([name, , shape]) => [name, ...shape].join()).sort());
  });

  test('a training graph of it holds references to the weights, not the weights', () => {
    const before = process.memoryUsage().arrayBuffers;
    const { model } = loraLossGraph(unet.model, sdFeeds(SD15), ATTENTION_PROJECTIONS, 4, { kind: 'flat' });
    const bytes = encodeModel(model);
    expect(bytes.length).toBeLessThan(2e7);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e8);
    const external = [...model.graph.initializers.values()].filter(isExternal);
    expect(external.reduce((sum, t) => sum + t.external.length, 0)).toBeGreaterThan(3.4e9);
    expect(existsSync(join(folder, 'weights'))).toBe(false); // it was built without the file
  });
});

async function open(dtype: (typeof DTYPES)[number], memory: MemoryMode) {
  const { model } = buildSdUnet(TINY, dtype, dtype);
  const feeds = withTarget(sdFeeds(TINY));
  const { target: _, ...inputs } = feeds;
  const graph = loraLossGraph(model, inputs, ATTENTION_PROJECTIONS, 4, memory);
  const parameters = randomAdapter(model, ATTENTION_PROJECTIONS, 4);
  const half = {
    weightBytes: 2e9,
    peakBytes: 2e9,
    scoped: memory.kind === 'checkpoint',
    halfWeights: dtype === 'float16',
  };
  const options = { ...trainingSessionOptions(half, 2e9), threads: 1, folder };
  const session = await createSession(encodeModel(graph.model), options);
  const step = (changed: ReadonlyMap<string, Tensor> = parameters) =>
    session.run({ ...feeds, ...Object.fromEntries(changed) });
  return { step, parameters, release: () => session.release() };
}

describe.each(DTYPES)('a training step of the same plan in small, weights in a file of %s', (dtype) => {
  test('the loss changes along its gradient as the gradient says', async () => {
    const { step, parameters, release } = await open(dtype, { kind: 'flat' });
    const out = await step();
    const g = Object.fromEntries([...parameters.keys()].map((name) => [name, out[`grad/${name}`]!]));
    const norm = globalNorm(Object.values(g));
    const loss = (o: Record<string, Tensor>) => (o.loss!.data as Float32Array)[0]!;
    const h = (0.002 * loss(out)) / norm;
    const at = async (sign: number) =>
      loss(
        await step(
          new Map(
            [...parameters].map(([name, t]) => [
              name,
              { ...t, data: t.data.map((v, i) => v + (sign * h * (g[name]!.data as Float32Array)[i]!) / norm) },
            ]),
          ),
        ),
      );
    expect(((await at(1)) - (await at(-1))) / (2 * h * norm)).toBeCloseTo(1, 3);
    await release();
  });

  test('checkpoints give the same gradients', async () => {
    const flat = await open(dtype, { kind: 'flat' });
    const expected = await flat.step();
    await flat.release();
    const names = [...flat.parameters.keys()].map((name) => `grad/${name}`);
    const whole = globalNorm(names.map((n) => expected[n]!));
    const few = await open(dtype, { kind: 'checkpoint', segments: 6 });
    const actual = await few.step();
    await few.release();
    for (const name of names) {
      const [a, b] = [actual[name]!.data as Float32Array, expected[name]!.data as Float32Array];
      expect(Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0)) / whole, name).toBeLessThanOrEqual(1e-6);
    }
  });

  test('nothing was written beside the weights, and they take the width they are stored in', () => {
    expect(readdirSync(folder).sort()).toEqual([...DTYPES].sort());
    expect(statSync(join(folder, dtype)).size).toBe(buildSdUnet(TINY, dtype, dtype).sizeBytes);
  });
});
