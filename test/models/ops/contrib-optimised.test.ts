import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { dimsEqual, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { gradientFixtures, loadGradientFixture, relativeError, wrongGradients } from '#test/support/gradients.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-optimised-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The file as the runtime rewrites it, for this machine's CPU but without its private layouts. */
async function optimise(path: string, name: string): Promise<Model> {
  const optimizedPath = join(folder, name);
  const session = await createSession(path, { optimization: 'extended', optimizedPath, threads: 1 });
  await session.release();
  return readModel(optimizedPath);
}

/** Weights that both files have under one name with the same numbers: the others were folded into something else. */
function untouched(before: Model, after: Model): string[] {
  return [...before.graph.initializers].flatMap(([name, a]) => {
    const b = after.graph.initializers.get(name);
    if (a.dtype !== 'float32' || !b || isExternal(a) || isExternal(b) || !dimsEqual(a.dims, b.dims)) return [];
    const values = toNumbers(b);
    return toNumbers(a).every((v, i) => v === values[i]) ? [name] : [];
  });
}

/** What the runtime fuses in each network, and how many of its weights are left as they were. */
const cases: Readonly<Record<string, { readonly fused: readonly string[]; readonly weights: number }>> = {
  'unet-opset16-static.onnx': { fused: ['QuickGelu', 'Gelu', 'FusedMatMul', 'LayerNormalization'], weights: 172 },
  'unet-opset13-dynamic-unfolded.onnx': { fused: ['QuickGelu', 'Gelu', 'LayerNormalization'], weights: 106 },
  'text-encoder-opset11-static.onnx': { fused: ['SkipLayerNormalization', 'QuickGelu', 'FusedMatMul'], weights: 35 },
  'cnn-opset13-dynamic.onnx': { fused: ['FusedConv'], weights: 8 },
  'vae-opset14-dynamic.onnx': { fused: ['QuickGelu', 'FusedMatMul'], weights: 44 },
  'dit-opset16-dynamic.onnx': { fused: ['SimplifiedLayerNormalization', 'FastGelu', 'QuickGelu'], weights: 36 },
};

describe('networks exported by PyTorch and optimised by ONNX Runtime', () => {
  for (const [file, { fused, weights }] of Object.entries(cases)) {
    test(`${file}: gradients through ${fused.join(', ')} agree with PyTorch to 1e-4`, async () => {
      const entry = gradientFixtures().find((f) => f.file === file)!;
      const fixture = loadGradientFixture(entry);
      const model = await optimise(fixture.modelPath, file);
      const types = new Set(model.graph.nodes.map((n) => n.opType));
      expect(fused.filter((name) => !types.has(name))).toEqual([]);

      const kept = untouched(readModel(fixture.modelPath), model);
      expect(kept.length).toBeGreaterThanOrEqual(weights);
      const inputs = [...fixture.inputs].filter(([, t]) => t.dtype === 'float32').map(([name]) => name);
      const wrt = [...kept, ...inputs];
      const inputDims = Object.fromEntries([...fixture.inputs].map(([name, t]) => [name, t.dims]));
      const gradient = gradientModel(model, { inputDims, wrt });
      expect(gradient.noPath).toEqual([]);
      expect(gradient.model.graph.nodes.filter((n) => n.domain !== '').map((n) => n.opType)).toEqual([]);

      const session = await createSession(encodeModel(gradient.model), { threads: 1, optimization: 'basic' });
      const feeds = new Map<string, Tensor>(fixture.inputs);
      for (const [name, t] of fixture.cotangents) feeds.set(`cotangent/${name}`, t);
      const results = await session.run(Object.fromEntries(feeds));
      await session.release();
      for (const [name, expected] of fixture.outputs) {
        expect(relativeError(results[name]!, expected), `output ${name}`).toBeLessThanOrEqual(1e-5);
      }
      const actual = new Map(wrt.map((name) => [name, results[`grad/${name}`]!]));
      const reference = new Map(wrt.map((name) => [name, fixture.gradient(name)]));
      expect(wrongGradients(actual, reference, 1e-4)).toEqual([]);
    });
  }
});
