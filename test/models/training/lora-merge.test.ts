import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as property } from '@fast-check/vitest';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { loadInitializer } from '#models/onnx/external.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel, writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, fromNumbers, toBytes, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { modulesOf, readLoraFile, writeLoraFile } from '#models/training/lora-file.ts';
import { writeLora } from '#models/training/lora-formats/write.ts';
import { type MergeAdapter, mergeLora, writeMerged } from '#models/training/lora-merge.ts';
import { mergeIntoFolder } from '#models/training/lora-merge-folder.ts';
import { verifyLora } from '#models/training/lora-verify.ts';
import { randomLora, randomTensor, smallNetwork } from './lora-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-merge-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const fresh = () => join(folder, String(count++));
const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });

const model = smallNetwork();
const targets = findLoraTargets(model, 'all');
const adapter = (seed: number, rank: number, alpha: number, weight?: number): MergeAdapter => {
  const config = { rank, alpha };
  return {
    targets,
    config,
    parameters: randomLora(targets, config, seed),
    ...(weight === undefined ? {} : { weight }),
  };
};

/** A model of one layer: W is [out, in] for Gemm with transB and [in, out] for MatMul. */
function oneLayer(transposed: boolean, w: ReturnType<typeof f32> | ReturnType<typeof fromNumbers>): Model {
  const op = createBuilder();
  const x = op.input('x', w.dtype, [1, w.dims[transposed ? 1 : 0]!]);
  const weight = op.initializer('fc.weight', w);
  op.output(transposed ? op.gemm(x, weight, null, { transB: true }) : op.matmul(x, weight), 'y');
  return op.toModel('one');
}

describe('merging', () => {
  property.prop(
    [
      fc.boolean(),
      fc.array(fc.tuple(fc.integer(), fc.integer({ min: 1, max: 3 }), fc.double({ min: -2, max: 2, noNaN: true })), {
        minLength: 1,
        maxLength: 3,
      }),
    ],
    { numRuns: 25 },
  )('the weight becomes W + Σ weight · (alpha / rank) · up · down, rounded once', (transposed, list) => {
    const [out, inn] = [4, 3];
    const w = randomTensor(new Rng(1), transposed ? [out, inn] : [inn, out]);
    const layer = oneLayer(transposed, w);
    const found = findLoraTargets(layer, 'all');
    const adapters = list.map(([seed, rank, weight]) => {
      const config = { rank, alpha: 1.5 };
      return { targets: found, config, parameters: randomLora(found, config, seed), weight };
    });
    const merged = mergeLora(layer, adapters).graph.initializers.get('fc.weight')!;
    const expected = toNumbers(w);
    for (let o = 0; o < out; o++) {
      for (let i = 0; i < inn; i++) {
        const at = transposed ? o * inn + i : i * out + o;
        for (const { config, parameters, weight } of adapters) {
          const [down, up] = ['down', 'up'].map((h) => toNumbers(parameters.get(`fc.lora_${h}.weight`)!)) as [
            number[],
            number[],
          ];
          for (let r = 0; r < config.rank; r++) {
            expected[at]! += ((weight * 1.5) / config.rank) * up[o * config.rank + r]! * down[r * inn + i]!;
          }
        }
      }
    }
    const values = toNumbers(
      loadInitializer({ ...layer, graph: { ...layer.graph, initializers: new Map([['m', merged]]) } }, 'm'),
    );
    // Two orders of a sum in double precision may round to neighbouring floats.
    for (const [i, v] of values.entries())
      expect(Math.abs(v - expected[i]!)).toBeLessThanOrEqual(2 ** -22 * Math.max(1, Math.abs(v)));
  });

  test('the same adapters one after another and at once differ by rounding only; opposite ones cancel exactly', () => {
    const [a, b] = [adapter(1, 2, 3, 0.8), adapter(2, 3, 1, -0.5)];
    const bytes = (m: Model) => targets.map((t) => toNumbers(loadInitializer(m, t.weight)));
    const [once, twice] = [bytes(mergeLora(model, [a, b])), bytes(mergeLora(mergeLora(model, [a]), [b]))];
    const largest = Math.max(...once.flatMap((list, i) => list.map((v, j) => Math.abs(v - twice[i]![j]!))));
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThan(1e-6);
    expect(bytes(mergeLora(model, [a, { ...a, weight: -0.8 }]))).toEqual(bytes(model));
  });

  test.each(['float16', 'bfloat16'] as const)('a %s weight is rounded to the nearest of its own numbers', (dtype) => {
    const w = fromNumbers(dtype, [2, 2], [1, 2, -3, 0.5]);
    const layer = oneLayer(true, w);
    const found = findLoraTargets(layer, 'all');
    const parameters = new Map([
      ['fc.lora_down.weight', f32([1, 2], [1, 0.25])],
      ['fc.lora_up.weight', f32([2, 1], [0.125, 1])],
    ]);
    const merged = mergeLora(layer, [{ targets: found, config: { rank: 1, alpha: 1 }, parameters }]);
    expect(merged.graph.initializers.get('fc.weight')).toEqual(
      fromNumbers(dtype, [2, 2], [1.125, 2 + 0.125 * 0.25, -2, 0.75]),
    );
  });

  test('a weight that two modules share, or that is stored in integers, is not merged', () => {
    const op = createBuilder();
    const w = op.initializer('w', f32([2, 2], [1, 2, 3, 4]));
    const h = op.apply('MatMul', [op.input('x', 'float32', [1, 2]), w], {}, '/a/MatMul');
    op.output(op.apply('MatMul', [h, w], {}, '/b/MatMul'), 'y');
    const tied = op.toModel('tied');
    const found = findLoraTargets(tied, 'all');
    expect(found.map((t) => t.module)).toEqual(['a', 'b']);
    const config = { rank: 1, alpha: 1 };
    const parts = { targets: found, config, parameters: randomLora(found, config, 1) };
    expect(() => mergeLora(tied, [parts])).toThrow(code('lora/merge-shared'));
    const whole = oneLayer(true, f32([2, 2], [1, 2, 3, 4]));
    const [target] = findLoraTargets(whole, 'all');
    whole.graph.initializers.set('fc.weight', fromNumbers('int8', [2, 2], [1, 2, 3, 4]));
    const quantised = { targets: [target!], config, parameters: randomLora([target!], config, 1) };
    expect(() => mergeLora(whole, [quantised])).toThrow(code('lora/merge-quantised'));
  });
});

describe('models with their weights beside them', () => {
  const external = fresh();
  mkdirSync(external);
  writeModel(model, join(external, 'model.onnx'), { external: { location: 'old.data', minBytes: 64 } });
  const source = readModel(join(external, 'model.onnx'));
  const adapters = [adapter(1, 2, 3, 0.8), adapter(2, 3, 1, -0.5)];

  test('are merged into a new file, the weights those of a merge in memory, and the rest as it was', () => {
    const out = fresh();
    mkdirSync(out);
    writeMerged(source, adapters, join(out, 'model.onnx'));
    expect(readdirSync(out).sort()).toEqual(['model.onnx', 'model.onnx_data']);
    const merged = readModel(join(out, 'model.onnx'));
    const inMemory = mergeLora(model, adapters);
    for (const [name, init] of merged.graph.initializers) {
      expect(isExternal(init)).toBe(isExternal(source.graph.initializers.get(name)!));
      expect(Buffer.compare(toBytes(loadInitializer(merged, name)), toBytes(loadInitializer(inMemory, name)))).toBe(0);
    }
    expect(merged.graph.initializers.size).toBe(model.graph.initializers.size);
    expect(merged.graph.nodes).toEqual(source.graph.nodes);
    // And the source is untouched.
    expect(toBytes(loadInitializer(source, 'head.weight'))).toEqual(toBytes(loadInitializer(model, 'head.weight')));
  });

  test('are not merged in place, and a failure leaves nothing', () => {
    expect(() => writeMerged(source, adapters, join(external, 'new.onnx'))).toThrow(code('lora/merge-in-place'));
    const out = fresh();
    mkdirSync(out);
    const broken = { ...source, folder: join(folder, 'gone') };
    expect(() => writeMerged(broken, adapters, join(out, 'model.onnx'))).toThrow(code('onnx/external-missing'));
    expect(readdirSync(out)).toEqual([]);
  });

  test('are verified like others', async () => {
    const file = join(folder, 'external.safetensors');
    const config = { rank: 2, alpha: 3, targets: 'all' as const };
    const parameters = randomLora(targets, config, 4);
    writeLoraFile(file, { targets, config, parameters });
    const feeds = { x: randomTensor(new Rng(2), [1, 3, 8, 8]) };
    const check = await verifyLora({
      modelPath: join(external, 'model.onnx'),
      model: source,
      file,
      live: null,
      feeds,
      threads: 1,
    });
    expect(check.matched).toBe(targets.length);
    expect(check.difference).toBeLessThan(1e-5);
    expect(check.effect).toBeGreaterThan(1e-3);
  });
});

describe('model folders', () => {
  const text = oneLayer(false, randomTensor(new Rng(5), [3, 4]));
  const textTargets = findLoraTargets(text, 'all');
  const config = { rank: 2, alpha: 1, targets: 'all' as const };

  function modelFolder(): string {
    const path = fresh();
    for (const part of ['unet', 'text_encoder', 'vae_decoder', join('tokenizer', 'inner')])
      mkdirSync(join(path, part), { recursive: true });
    writeModel(model, join(path, 'unet', 'model.onnx'), { external: { location: 'model.onnx_data', minBytes: 64 } });
    writeModel(text, join(path, 'text_encoder', 'text.onnx'));
    writeFileSync(join(path, 'unet', 'config.json'), '{"a":1}');
    writeFileSync(join(path, 'vae_decoder', 'model.onnx'), 'left as it is');
    writeFileSync(join(path, 'tokenizer', 'inner', 'x.txt'), 'x');
    writeFileSync(join(path, 'model_index.json'), '{}');
    return path;
  }
  const source = modelFolder();
  const everything = (path: string) =>
    (readdirSync(path, { recursive: true }) as string[]).filter((f) => /\.\w+$/.test(f)).sort();
  const denoiser = modulesOf({ targets, config, parameters: randomLora(targets, config, 6) });
  const encoder = modulesOf({
    targets: textTargets,
    config,
    parameters: randomLora(textTargets, config, 7),
    component: 'text_encoder',
  });
  const stray = { ...denoiser[0]!, module: 'nowhere.to_be_found' };
  const both = join(folder, 'both.safetensors');
  const one = join(folder, 'one.safetensors');
  writeLora(both, { modules: [...denoiser, ...encoder, stray], metadata: new Map() });
  writeLora(one, { modules: denoiser.slice(0, 2), metadata: new Map() });

  test('every network gets its part, everything else is copied, and what fits nowhere is told', () => {
    const out = join(fresh(), 'deep', 'merged');
    const report = mergeIntoFolder(
      source,
      [
        { path: both, weight: 0.8 },
        { path: one, weight: 0.5 },
      ],
      out,
    );
    expect(report.networks).toEqual([
      { network: 'unet', matched: [5, 2] },
      { network: 'text_encoder', matched: [1, 0] },
    ]);
    expect(report.unmatched).toEqual([
      { path: both, names: ['lora_unet_nowhere_to_be_found'] },
      { path: one, names: [] },
    ]);
    expect(everything(out)).toEqual(everything(source));
    for (const same of ['unet/config.json', 'vae_decoder/model.onnx', 'tokenizer/inner/x.txt', 'model_index.json']) {
      expect(readFileSync(join(out, same))).toEqual(readFileSync(join(source, same)));
    }
    const merged = readModel(join(out, 'unet', 'model.onnx'));
    const parts = [both, one].map((path, i) => ({ ...readLoraFile(path, model), weight: [0.8, 0.5][i]! }));
    const expected = mergeLora(model, parts);
    for (const { weight } of targets)
      expect(loadInitializer(merged, weight)).toEqual(loadInitializer(expected, weight));
    const changed = loadInitializer(readModel(join(out, 'text_encoder', 'text.onnx')), 'fc.weight');
    expect(changed).not.toEqual(loadInitializer(text, 'fc.weight'));
    // By content, not by the names of a person's files.
    expect(JSON.parse(merged.metadata.get('northlight.merged')!)).toMatchObject([{ weight: 0.8 }, { weight: 0.5 }]);
    expect(Buffer.from(encodeModel(merged)).includes(folder)).toBe(false);
  });

  test('nothing appears when an adapter fits nowhere, and nothing that exists is replaced', () => {
    const foreign = join(folder, 'foreign.safetensors');
    writeLora(foreign, { modules: [stray], metadata: new Map() });
    const out = fresh();
    const before = readdirSync(folder).length;
    expect(() =>
      mergeIntoFolder(
        source,
        [
          { path: both, weight: 1 },
          { path: foreign, weight: 1 },
        ],
        out,
      ),
    ).toThrow(code('lora/no-match'));
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder)).toHaveLength(before);
    expect(() => mergeIntoFolder(source, [{ path: both, weight: 1 }], source)).toThrow(code('lora/out-exists'));
    expect(() => mergeIntoFolder(folder, [{ path: both, weight: 1 }], out)).toThrow(code('lora/no-network'));
  });
});
