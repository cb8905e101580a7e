import { describe, expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { checkModel } from '#models/onnx/check.ts';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, fromNumbers, numel, type Tensor, toBytes, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets, initLora, insertLora } from '#models/training/lora.ts';
import { mergeLora } from '#models/training/lora-merge.ts';
import {
  largestDifference,
  randomLora,
  randomTensor,
  runModel,
  smallNetwork,
  UNET,
  UNET_UNFOLDED,
  unetFeeds,
} from './lora-network.ts';

const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });
const modules = (model: Model, targets: Parameters<typeof findLoraTargets>[1]) =>
  findLoraTargets(model, targets).map((t) => t.module);
const scale = { rank: 2, alpha: 3 };

describe('targets', () => {
  test('each kind of layer is found with its module path, layout and sizes', () => {
    const found = findLoraTargets(smallNetwork(), 'all');
    expect(found.map((t) => [t.module, t.kind, t.transposed, t.inFeatures, t.outFeatures, t.kernel])).toEqual([
      ['down.0.conv', 'conv', true, 3, 6, [3, 3]],
      ['down.0.attn.proj_in', 'conv', true, 6, 4, [1, 1]],
      ['down.0.attn.to_q', 'linear', false, 4, 7, []],
      ['down.0.attn.to_v', 'linear', true, 7, 3, []],
      ['head', 'linear', true, 3, 5, []],
    ]);
  });

  test('the three sets and a pattern choose among them', () => {
    const model = smallNetwork();
    expect(modules(model, 'attention')).toEqual(['down.0.attn.proj_in', 'down.0.attn.to_q', 'down.0.attn.to_v']);
    expect(modules(model, 'linear')).toEqual([...modules(model, 'attention'), 'head']);
    expect(modules(model, { pattern: 'to_[qv]$|conv' })).toEqual([
      'down.0.conv',
      'down.0.attn.to_q',
      'down.0.attn.to_v',
    ]);
    expect(() => modules(model, { pattern: '(' })).toThrow(code('lora/pattern'));
  });

  test('a UNet exported by PyTorch gives its attention projections, whether or not their transposes were folded', () => {
    const blocks = ['down0_attn', 'mid_attn', 'up0_attn'];
    const projections = ['attn1', 'attn2'].flatMap((a) => ['to_q', 'to_k', 'to_v', 'to_out'].map((p) => `${a}.${p}`));
    const expected = blocks.flatMap((b) => ['proj_in', ...projections, 'proj_out'].map((p) => `${b}.${p}`));
    for (const path of [UNET, UNET_UNFOLDED]) expect(modules(readModel(path), 'attention')).toEqual(expected);
    expect(modules(readModel(UNET), 'all')).toEqual(modules(readModel(UNET_UNFOLDED), 'all'));
  });

  test('a layer called twice is one module, and two layers of one name are two', () => {
    const build = (second: readonly number[]) => {
      const op = createBuilder();
      const first = op.apply(
        'MatMul',
        [op.input('x', 'float32', [1, 2]), op.f32([2, 2], [1, 2, 3, 4])],
        {},
        '/a/MatMul',
      );
      op.output(op.apply('MatMul', [first, op.initializer('w', f32([2, 2], second))], {}, '/a/MatMul_1'), 'y');
      return op.toModel('twice');
    };
    expect(modules(build([1, 2, 3, 4]), 'all')).toEqual(['a', 'a']);
    expect(modules(build([1, 2, 3, 5]), 'all')).toEqual(['a', 'a.1']);
  });
});

describe('insertion', () => {
  test('one linear layer computes x·W + (alpha / rank) · weight · up(down(x)), as summed by hand', async () => {
    const op = createBuilder();
    const [x, w, down, up] = (
      [
        [2, 3],
        [3, 4],
        [2, 3],
        [4, 2],
      ] as const
    ).map((dims, i) => randomTensor(new Rng(i), dims)) as [Tensor, Tensor, Tensor, Tensor];
    op.output(op.matmul(op.input('x', 'float32', [2, 3]), op.initializer('fc.weight', w)), 'y');
    const model = op.toModel('linear');
    const at = (t: Tensor, i: number, j: number) => toNumbers(t)[i * t.dims[1]! + j]!;
    const expected = [0, 1].flatMap((n) =>
      [0, 1, 2, 3].map((o) => {
        let y = 0;
        for (let i = 0; i < 3; i++) {
          y += at(x, n, i) * at(w, i, o);
          for (let r = 0; r < 2; r++) y += (3 / 2) * 0.7 * at(x, n, i) * at(down, r, i) * at(up, o, r);
        }
        return y;
      }),
    );
    const parameters = new Map([
      ['fc.lora_down.weight', down],
      ['fc.lora_up.weight', up],
    ]);
    const adapted = insertLora(model, findLoraTargets(model, 'all'), scale, parameters, { weight: 0.7 });
    expect(largestDifference(await runModel(adapted, { x }), f32([2, 4], expected))).toBeLessThan(1e-6);
  });

  test('a new adapter changes no byte of the output, at any batch', async () => {
    // Graph optimisation is off: the runtime may fuse the plain and the adapted graph differently.
    for (const [model, feeds] of [
      [smallNetwork(), { x: randomTensor(new Rng(1), [3, 3, 8, 8]) }],
      [readModel(UNET), unetFeeds()],
    ] as const) {
      const targets = findLoraTargets(model, 'all');
      const adapted = insertLora(model, targets, scale, initLora(targets, scale, new Rng(5)));
      checkModel(adapted);
      const [plain, same] = [await runModel(model, feeds, 'disabled'), await runModel(adapted, feeds, 'disabled')];
      expect(Buffer.compare(toBytes(same), toBytes(plain))).toBe(0);
    }
  });

  test('the original model is left as it was', () => {
    const model = smallNetwork();
    const before = Buffer.from(encodeModel(model));
    const targets = findLoraTargets(model, 'all');
    insertLora(model, targets, scale, randomLora(targets, scale, 1));
    mergeLora(model, [{ targets, config: scale, parameters: randomLora(targets, scale, 1) }]);
    expect(Buffer.compare(encodeModel(model), before)).toBe(0);
  });

  test('merged into the weights the adapter is the same function', async () => {
    for (const [model, feeds] of [
      [smallNetwork(), { x: randomTensor(new Rng(1), [2, 3, 8, 8]) }],
      [readModel(UNET), unetFeeds()],
      [readModel(UNET_UNFOLDED), unetFeeds()],
    ] as const) {
      const targets = findLoraTargets(model, 'all');
      const parameters = randomLora(targets, scale, 9);
      // Graph optimisation is off: it takes most of the time and proves nothing here.
      const inserted = await runModel(
        insertLora(model, targets, scale, parameters, { weight: 0.5 }),
        feeds,
        'disabled',
      );
      const merged = await runModel(
        mergeLora(model, [{ targets, config: scale, parameters, weight: 0.5 }]),
        feeds,
        'disabled',
      );
      const plain = await runModel(model, feeds, 'disabled');
      expect(largestDifference(inserted, plain)).toBeGreaterThan(0.01);
      expect(largestDifference(inserted, merged)).toBeLessThan(1e-5);
    }
  });

  test('two adapters with prefixes add up, and the second does not adapt the first', async () => {
    const model = smallNetwork();
    const feeds = { x: randomTensor(new Rng(1), [2, 3, 8, 8]) };
    const targets = findLoraTargets(model, 'all');
    const [a, b] = [randomLora(targets, scale, 1), randomLora(targets, { rank: 3, alpha: 1 }, 2)];
    const first = insertLora(model, targets, scale, a, { prefix: 'a/' });
    expect(findLoraTargets(first, 'all')).toEqual(targets);
    const both = insertLora(first, targets, { rank: 3, alpha: 1 }, b, { prefix: 'b/', weight: -0.5 });
    checkModel(both);
    const merged = mergeLora(model, [
      { targets, config: scale, parameters: a },
      { targets, config: { rank: 3, alpha: 1 }, parameters: b, weight: -0.5 },
    ]);
    expect(largestDifference(await runModel(both, feeds), await runModel(merged, feeds))).toBeLessThan(1e-5);
    expect(() => insertLora(first, targets, scale, a, { prefix: 'a/' })).toThrow(code('lora/duplicate'));
  });

  test('parameters can be fed as inputs', async () => {
    const model = smallNetwork();
    const x = randomTensor(new Rng(1), [2, 3, 8, 8]);
    const targets = findLoraTargets(model, 'linear');
    const parameters = randomLora(targets, scale, 1);
    const open = insertLora(model, targets, scale, parameters, { as: 'inputs' });
    expect(open.graph.inputs.slice(1).map((i) => i.name)).toEqual([...parameters.keys()]);
    const fed = await runModel(open, { x, ...Object.fromEntries(parameters) });
    expect(largestDifference(fed, await runModel(insertLora(model, targets, scale, parameters), { x }))).toBeLessThan(
      1e-6,
    );
  });

  test('a float16 model takes float32 parameters', async () => {
    const op = createBuilder();
    const w = fromNumbers('float16', [3, 4], toNumbers(randomTensor(new Rng(3), [3, 4])));
    op.output(op.matmul(op.input('x', 'float16', [2, 3]), op.initializer('fc.weight', w)), 'y');
    const model = op.toModel('half');
    const targets = findLoraTargets(model, 'all');
    const parameters = randomLora(targets, scale, 4);
    const x = fromNumbers('float16', [2, 3], [1, 2, -1, 0.5, 0, 1]);
    const inserted = await runModel(insertLora(model, targets, scale, parameters), { x });
    const merged = await runModel(mergeLora(model, [{ targets, config: scale, parameters }]), { x });
    expect(inserted.dtype).toBe('float16');
    // Values are of the order of 4, where float16 steps by 2⁻⁸.
    expect(largestDifference(inserted, merged)).toBeLessThan(2 ** -6);
    expect(largestDifference(inserted, await runModel(model, { x }))).toBeGreaterThan(0.1);
  });

  test('layers stored in 4 and 8 bits take adapters beside them: the output grows by scale · up(down(x))', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2, 32]);
    op.output(op.tanh(x), 'unused');
    const model = op.toModel('quantised');
    const { nodes, outputs, initializers } = model.graph;
    nodes.length = outputs.length = 0;
    const bytes = (n: number, seed: number) => Uint8Array.from({ length: n }, (_, i) => (i * 37 + seed) % 251);
    initializers.set('q.weight_Q4', { dtype: 'uint8', dims: [6, 1, 16], data: bytes(96, 1) });
    initializers.set('q.scales', randomTensor(new Rng(1), [6], 0.1));
    initializers.set('k.weight_quantized', { dtype: 'uint8', dims: [32, 5], data: bytes(160, 2) });
    initializers.set('k.scale', f32([], [0.01]));
    const node = (opType: string, inputs: string[], output: string, ints: Record<string, number> = {}) =>
      nodes.push({
        opType,
        domain: opType === 'MatMulNBits' ? 'com.microsoft' : '',
        name: output,
        inputs,
        outputs: [output],
        attributes: new Map(Object.entries(ints).map(([key, value]) => [key, { kind: 'int', value }])),
      });
    node('MatMulNBits', ['x', 'q.weight_Q4', 'q.scales'], 'yq', { K: 32, N: 6, bits: 4, block_size: 32 });
    node('DequantizeLinear', ['k.weight_quantized', 'k.scale'], 'w');
    node('MatMul', ['x', 'w'], 'yk');
    for (const [name, width] of [['yq', 6] as const, ['yk', 5] as const]) {
      outputs.push({ name, dtype: 'float32', dims: [2, width] });
    }
    model.opsets.set('com.microsoft', 1);
    const targets = findLoraTargets(model, 'all');
    expect(targets.map((t) => [t.module, t.outFeatures])).toEqual([
      ['q', 6],
      ['k', 5],
    ]);
    const parameters = randomLora(targets, scale, 6);
    const feeds = { x: randomTensor(new Rng(2), [2, 32]) };
    const sessions = [model, insertLora(model, targets, scale, parameters)].map((m) =>
      createSession(encodeModel(m), { threads: 1 }),
    );
    const [plain, adapted] = await Promise.all(sessions.map(async (s) => (await s).run(feeds)));
    for (const [name, module, width] of [['yq', 'q', 6] as const, ['yk', 'k', 5] as const]) {
      const [down, up] = ['down', 'up'].map((h) => toNumbers(parameters.get(`${module}.lora_${h}.weight`)!));
      const input = toNumbers(feeds.x);
      const grown = toNumbers(adapted![name]!).map((v, i) => v - toNumbers(plain![name]!)[i]!);
      for (let n = 0; n < 2; n++) {
        for (let o = 0; o < width; o++) {
          let delta = 0;
          for (let r = 0; r < 2; r++) {
            for (let i = 0; i < 32; i++) delta += (3 / 2) * up![o * 2 + r]! * down![r * 32 + i]! * input[n * 32 + i]!;
          }
          expect(grown[n * width + o]).toBeCloseTo(delta, 4);
        }
      }
    }
  });

  test("matrices of 16 bits are computed with in the layer's own type", async () => {
    const model = smallNetwork();
    const targets = findLoraTargets(model, 'all');
    const parameters = randomLora(targets, scale, 1);
    const x = randomTensor(new Rng(1), [1, 3, 8, 8]);
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const short = new Map([...parameters].map(([name, t]) => [name, fromNumbers(dtype, t.dims, toNumbers(t))]));
      const widened = new Map([...short].map(([name, t]) => [name, f32(t.dims, toNumbers(t))]));
      const [a, b] = [insertLora(model, targets, scale, short), insertLora(model, targets, scale, widened)];
      expect(largestDifference(await runModel(a, { x }), await runModel(b, { x }))).toBeLessThan(1e-6);
    }
  });

  test('wrong parameters and wrong targets are refused by name', () => {
    const model = smallNetwork();
    const targets = findLoraTargets(model, 'attention');
    const parameters = randomLora(targets, scale, 1);
    expect(() => insertLora(model, findLoraTargets(model, 'all'), scale, parameters)).toThrow(code('lora/missing'));
    expect(() => insertLora(model, targets, { rank: 3, alpha: 3 }, parameters)).toThrow(code('lora/shape'));
    expect(() => insertLora(model, targets, { rank: 0, alpha: 3 }, parameters)).toThrow(code('lora/rank'));
    expect(() => insertLora(readModel(UNET), targets, scale, parameters)).toThrow(code('lora/no-node'));
  });

  test('a weight that also serves another node is not merged', () => {
    const op = createBuilder();
    const w = op.initializer('tied.weight', f32([2, 2], [1, 2, 3, 4]));
    op.output(op.matmul(op.add2(op.input('x', 'float32', [2, 2]), w), w), 'y');
    const model = op.toModel('tied');
    const targets = findLoraTargets(model, 'all');
    expect(() => mergeLora(model, [{ targets, config: scale, parameters: randomLora(targets, scale, 1) }])).toThrow(
      code('lora/merge-shared'),
    );
  });
});

describe('training', () => {
  test('a new adapter is uniform on ±1/√fanIn below and zero above, whatever other targets there are', () => {
    const model = smallNetwork();
    const big = { rank: 64, alpha: 1 };
    const all = initLora(findLoraTargets(model, 'all'), big, new Rng(11));
    for (const target of findLoraTargets(model, 'all')) {
      const fanIn = target.inFeatures * numel(target.kernel);
      const values = toNumbers(all.get(`${target.module}.lora_down.weight`)!);
      const bound = 1 / Math.sqrt(fanIn);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(Math.fround(bound));
      // Variance of a uniform on ±b is b²/3; at least 192 draws put the sample within 30 % of it (over 4 σ).
      const variance = values.reduce((s, v) => s + v * v, 0) / values.length;
      expect(Math.abs(variance / (bound ** 2 / 3) - 1)).toBeLessThan(0.3);
      expect(toNumbers(all.get(`${target.module}.lora_up.weight`)!).every((v) => v === 0)).toBe(true);
    }
    for (const [name, t] of initLora(findLoraTargets(model, 'attention'), big, new Rng(11)))
      expect(t).toEqual(all.get(name));
  });

  test('gradients of the parameters agree with central differences', async () => {
    const model = smallNetwork();
    const targets = findLoraTargets(model, 'all');
    const parameters = randomLora(targets, scale, 21);
    const adapted = insertLora(model, targets, scale, parameters);
    const x = randomTensor(new Rng(22), [2, 3, 8, 8]);
    const cotangent = randomTensor(new Rng(23), [2, 5]);

    const op = createBuilder();
    const imported = importGraph(op, adapted, {
      inputs: { x: [2, 3, 8, 8] },
      role: (name) => (parameters.has(name) ? 'input' : 'frozen'),
    });
    const y = imported.outputs.get('y')!;
    const wrt = [...parameters.keys()].map((name) => imported.weights.get(name)!);
    const grads = addGradients(op, [{ value: y, cotangent: op.constant(cotangent) }], wrt);
    op.output(y, 'out');
    for (const v of wrt) op.output(grads.get(v.name)!, `grad/${v.name}`);
    const session = await createSession(encodeModel(op.toModel('gradient')), { threads: 1, training: true });

    const run = (changed: ReadonlyMap<string, Tensor>) => session.run({ x, ...Object.fromEntries(changed) });
    const results = await run(parameters);
    const loss = (out: Tensor) => {
      const c = toNumbers(cotangent);
      return toNumbers(out).reduce((s, v, i) => s + v * c[i]!, 0);
    };
    for (const [name, t] of parameters) {
      // Along the gradient's own sign, so that the slope is large against float32 rounding; and along a random direction.
      const g = toNumbers(results[`grad/${name}`]!);
      for (const direction of [g.map(Math.sign), toNumbers(randomTensor(new Rng(24).fork(name), t.dims))]) {
        const epsilon = 1e-2;
        const moved = (step: number) =>
          run(
            new Map(parameters).set(
              name,
              f32(
                t.dims,
                toNumbers(t).map((v, i) => v + step * direction[i]!),
              ),
            ),
          );
        const [plus, minus] = [await moved(epsilon), await moved(-epsilon)];
        const slope = (loss(plus.out!) - loss(minus.out!)) / (2 * epsilon);
        const size = g.reduce((s, v, i) => s + Math.abs(v * direction[i]!), 0);
        expect(size, name).toBeGreaterThan(0.01);
        const predicted = g.reduce((s, v, i) => s + v * direction[i]!, 0);
        expect(Math.abs(slope - predicted) / size, name).toBeLessThan(5e-3);
      }
    }
    await session.release();
  });
});
