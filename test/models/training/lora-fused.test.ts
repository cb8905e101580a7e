import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { decomposeModel } from '#models/autodiff/decompose-model.ts';
import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { checkModel } from '#models/onnx/check.ts';
import { type Attribute, float, floats, int, ints, type LocalFunction, type Model, str } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel, writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { f32, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets, insertLora } from '#models/training/lora.ts';
import { readLoraFile, writeLoraFile } from '#models/training/lora-file.ts';
import { writeLora } from '#models/training/lora-formats/write.ts';
import { mergeLora } from '#models/training/lora-merge.ts';
import { verifyLora } from '#models/training/lora-verify.ts';
import { buildModel, type NodeText } from '#test/support/build-model.ts';
import { largestDifference, randomLora, randomTensor, runModel } from './lora-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-fused-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const scale = { rank: 2, alpha: 3 };
const ms = 'com.microsoft';
const rng = new Rng(31);
const random = (name: string, dims: readonly number[], by = 0.5) => randomTensor(rng.fork(name), dims, by);

function fusedModel(
  inputs: Record<string, readonly (number | string)[]>,
  weights: Record<string, Tensor>,
  nodes: readonly NodeText[],
): Model {
  const model = buildModel({ opset: 17, inputs, weights, nodes, outputs: { y: 'float32' } });
  model.opsets.set(ms, 1);
  return model;
}

interface Case {
  readonly op: string;
  readonly title: string;
  readonly x: readonly number[];
  /** [out, in, …] of the adapter's layer → index of that element in the stored weight. */
  readonly w: readonly number[];
  readonly layout: 'out-first' | 'in-first' | 'channels-last';
  readonly extra?: Readonly<Record<string, readonly number[]>>;
  /** All input names; '' for one left out. */
  readonly inputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** The runtime has a kernel on the CPU; otherwise both sides are written in standard operators first. */
  readonly kernel: boolean;
}

const pads = ints([1, 1, 1, 1]);
const leaky = { activation: str('LeakyRelu'), activation_params: floats([0.2]) };
const CASES: readonly Case[] = [
  {
    op: 'FusedConv',
    title: 'an activation',
    x: [2, 3, 5, 5],
    w: [4, 3, 3, 3],
    layout: 'out-first',
    extra: { b: [4] },
    inputs: ['x', 'w', 'b'],
    attributes: { ...leaky, pads, strides: ints([2, 2]), kernel_shape: ints([3, 3]) },
    kernel: true,
  },
  {
    op: 'FusedConv',
    title: 'an activation and a summand',
    x: [2, 3, 5, 5],
    w: [4, 3, 3, 3],
    layout: 'out-first',
    extra: { b: [4], z: [2, 4, 5, 5] },
    inputs: ['x', 'w', 'b', 'z'],
    attributes: { activation: str('Relu'), pads },
    kernel: true,
  },
  {
    op: 'NhwcConv',
    title: 'a kernel with channels last',
    x: [2, 5, 5, 3],
    w: [4, 3, 2, 3],
    layout: 'channels-last',
    extra: { b: [4] },
    inputs: ['x', 'w', 'b'],
    attributes: { kernel_shape: ints([3, 2]), pads },
    kernel: false,
  },
  {
    op: 'NhwcFusedConv',
    title: 'a kernel with channels first and an activation',
    x: [2, 5, 5, 3],
    w: [4, 3, 3, 3],
    layout: 'out-first',
    extra: { b: [4], z: [2, 5, 5, 4] },
    inputs: ['x', 'w', 'b', 'z'],
    attributes: { ...leaky, pads },
    kernel: false,
  },
  {
    op: 'FusedMatMul',
    title: 'a factor and a turned weight',
    x: [2, 5, 3],
    w: [4, 3],
    layout: 'out-first',
    inputs: ['x', 'w'],
    attributes: { alpha: float(0.7), transB: int(1) },
    kernel: true,
  },
  {
    op: 'FusedMatMul',
    title: 'a turned input',
    x: [2, 3, 5],
    w: [3, 4],
    layout: 'in-first',
    inputs: ['x', 'w'],
    attributes: { transA: int(1) },
    kernel: true,
  },
  {
    op: 'FusedGemm',
    title: 'both factors and an activation',
    x: [3, 5],
    w: [4, 3],
    layout: 'out-first',
    extra: { c: [4] },
    inputs: ['x', 'w', 'c'],
    attributes: {
      activation: str('LeakyRelu'),
      activation_alpha: float(0.2),
      transA: int(1),
      transB: int(1),
      alpha: float(2),
      beta: float(0.5),
    },
    kernel: true,
  },
  {
    op: 'FusedGemm',
    title: 'no summand',
    x: [5, 3],
    w: [3, 4],
    layout: 'in-first',
    inputs: ['x', 'w'],
    attributes: { activation: str('Relu'), beta: float(0.5) },
    kernel: true,
  },
  {
    op: 'FusedMatMulActivation',
    title: 'an activation',
    x: [2, 5, 3],
    w: [3, 4],
    layout: 'in-first',
    inputs: ['x', 'w'],
    attributes: { activation: str('LeakyRelu'), activation_alpha: float(0.3), alpha: float(0.5) },
    kernel: false,
  },
  {
    op: 'GemmFastGelu',
    title: 'a bias inside',
    x: [2, 5, 3],
    w: [3, 4],
    layout: 'in-first',
    extra: { b: [4] },
    inputs: ['x', 'w', 'b'],
    kernel: false,
  },
  {
    op: 'Attention',
    title: 'query, key and value in one weight',
    x: [2, 5, 4],
    w: [4, 12],
    layout: 'in-first',
    extra: { b: [12] },
    inputs: ['x', 'w', 'b'],
    attributes: { num_heads: int(2) },
    kernel: true,
  },
];

/** W + (alpha / r) · up · down, summed by hand in the layout of the stored weight. */
function mergedByHand(c: Pick<Case, 'layout'>, w: Tensor, down: Tensor, up: Tensor): Tensor {
  const [r, inn, ...kernel] = down.dims as [number, number, ...number[]];
  const out = up.dims[0]!;
  const k = numel(kernel);
  const [d, u] = [toNumbers(down), toNumbers(up)];
  const values = toNumbers(w);
  for (let o = 0; o < out; o++)
    for (let i = 0; i < inn; i++)
      for (let p = 0; p < k; p++) {
        let sum = 0;
        for (let j = 0; j < r; j++) sum += u[o * r + j]! * d[(j * inn + i) * k + p]!;
        const at = {
          'out-first': (o * inn + i) * k + p,
          'in-first': i * out + o,
          'channels-last': (o * k + p) * inn + i,
        };
        values[at[c.layout]]! += (scale.alpha / scale.rank) * sum;
      }
  return f32(w.dims, values);
}

const withWeight = (model: Model, name: string, w: Tensor): Model => ({
  ...model,
  graph: { ...model.graph, initializers: new Map(model.graph.initializers).set(name, w) },
});

describe('an adapter on a fused layer', () => {
  test.each(CASES.map((c) => [`${c.op} with ${c.title}`, c] as const))(
    '%s makes it compute with W + s·B·A, beside the weight or merged',
    async (_, c) => {
      const extra = Object.fromEntries(Object.entries(c.extra ?? {}).map(([n, dims]) => [n, random(n, dims)]));
      const w = random(`w${c.op}`, c.w);
      const name = 'block.fc.weight';
      const node = {
        op: c.op,
        domain: ms,
        in: c.inputs.map((n) => (n === 'w' ? name : n)),
        out: ['y'],
        ...(c.attributes ? { attributes: c.attributes } : {}),
      };
      const model = fusedModel({ x: ['n', ...c.x.slice(1)] }, { ...extra, [name]: w }, [node]);
      // What does not depend on the batch stays; the input is the only one with a free size.
      if (c.op === 'FusedGemm') model.graph.inputs[0] = { name: 'x', dtype: 'float32', dims: c.x };
      const [target, ...rest] = findLoraTargets(model, 'all');
      expect([target!.module, rest.length]).toEqual(['block.fc', 0]);
      const parameters = randomLora([target!], scale, 5);
      const adapted = insertLora(model, [target!], scale, parameters);
      checkModel(adapted);
      expect(adapted.graph.inputs).toEqual(model.graph.inputs);
      const byHand = withWeight(
        model,
        name,
        mergedByHand(c, w, parameters.get('block.fc.lora_down.weight')!, parameters.get('block.fc.lora_up.weight')!),
      );
      const merged = mergeLora(model, [{ targets: [target!], config: scale, parameters }]);
      const x = random('x', c.x, 1);
      const plain = (m: Model) => decomposeModel(m, { inputDims: { x: c.x } });
      const expected = await runModel(c.kernel ? byHand : plain(byHand), { x });
      const bare = await runModel(c.kernel ? model : plain(model), { x });
      // Sums of a few dozen float32 products of order one.
      expect(largestDifference(await runModel(plain(adapted), { x }), expected)).toBeLessThan(2e-5);
      expect(largestDifference(await runModel(plain(merged), { x }), expected)).toBeLessThan(2e-5);
      if (c.kernel) expect(largestDifference(await runModel(adapted, { x }), expected)).toBeLessThan(2e-5);
      expect(largestDifference(bare, expected)).toBeGreaterThan(0.05);
    },
  );

  test('what cannot be taken apart is no target', () => {
    const w = { 'fc.weight': random('w', [3, 4]) };
    const targets = (attributes: Record<string, Attribute>, op: string, inputs = ['x', 'fc.weight']) =>
      findLoraTargets(fusedModel({ x: [2, 3] }, w, [{ op, domain: ms, in: inputs, out: ['y'], attributes }]), 'all')
        .length;
    expect(targets({ activation: str('Softmax') }, 'FusedMatMulActivation')).toBe(0);
    expect(targets({ transBatchB: int(1) }, 'FusedMatMul')).toBe(0);
    expect(targets({ beta: float(0) }, 'FusedGemm')).toBe(0);
    expect(targets({}, 'FusedMatMul')).toBe(1);
  });
});

/** A function of a linear layer and an activation, called twice, and a convolution with its activation fused. */
function modelWithFunction(): Model {
  const model = fusedModel(
    { x: ['n', 3, 'h', 'w'] },
    {
      'conv.weight': random('conv', [4, 3, 3, 3]),
      'a.fc.weight': random('a', [4, 4]),
      'b.fc.weight': random('b', [4, 4]),
    },
    [
      {
        op: 'FusedConv',
        domain: ms,
        in: ['x', 'conv.weight'],
        out: ['c'],
        attributes: { activation: str('Relu'), pads },
      },
      { op: 'Transpose', in: ['c'], out: ['t'], attributes: { perm: ints([0, 2, 3, 1]) } },
      { op: 'Block', domain: 'local', in: ['t', 'a.fc.weight'], out: ['u'], attributes: { slope: float(0.1) } },
      { op: 'Block', domain: 'local', in: ['u', 'b.fc.weight'], out: ['y'] },
    ],
  );
  model.opsets.set('local', 1);
  const f: LocalFunction = {
    name: 'Block',
    domain: 'local',
    overload: '',
    inputs: ['x', 'w'],
    outputs: ['out'],
    attributes: [],
    defaults: new Map([['slope', float(0.3)]]),
    opsets: new Map([['', 17]]),
    nodes: [
      { opType: 'MatMul', domain: '', name: '/fc/MatMul', inputs: ['x', 'w'], outputs: ['p'], attributes: new Map() },
      {
        opType: 'LeakyRelu',
        domain: '',
        name: 'act',
        inputs: ['p'],
        outputs: ['out'],
        attributes: new Map([['alpha', { kind: 'reference', value: 'slope', type: 1 }]]),
      },
    ],
  };
  model.functions = new Map([['local:Block:', f]]);
  return model;
}

describe('layers inside functions of the model', () => {
  const model = modelWithFunction();
  const targets = findLoraTargets(model, 'all');
  const parameters = randomLora(targets, scale, 8);
  const feeds = { x: random('fx', [2, 3, 4, 5], 1) };

  test('are found under the names of their weights, and an adapter on each is the merged function', async () => {
    expect(targets.map((t) => t.module)).toEqual(['conv', 'a.fc', 'b.fc']);
    const adapted = insertLora(model, targets, scale, parameters);
    checkModel(adapted);
    let byHand = model;
    for (const t of targets) {
      const [down, up] = ['down', 'up'].map((p) => parameters.get(`${t.module}.lora_${p}.weight`)!);
      const layout = t.transposed ? 'out-first' : 'in-first';
      byHand = withWeight(
        byHand,
        t.weight,
        mergedByHand({ layout }, model.graph.initializers.get(t.weight) as Tensor, down!, up!),
      );
    }
    const expected = await runModel(byHand, feeds);
    expect(largestDifference(await runModel(adapted, feeds), expected)).toBeLessThan(1e-4);
    const merged = mergeLora(model, [{ targets, config: scale, parameters }]);
    expect(merged.functions).toBe(model.functions);
    expect(largestDifference(await runModel(merged, feeds), expected)).toBeLessThan(1e-4);
    expect(largestDifference(await runModel(model, feeds), expected)).toBeGreaterThan(0.1);
  });

  test('have adapters that a file keeps: it is read back into the model as stored and does the same', async () => {
    const [modelPath, file] = [join(folder, 'function.onnx'), join(folder, 'function.safetensors')];
    writeModel(model, modelPath);
    writeLoraFile(file, { targets, config: { ...scale, targets: 'all' }, parameters });
    const check = { modelPath, model, file, feeds, threads: 1 };
    const live = await verifyLora({ ...check, live: parameters });
    expect(live).toMatchObject({ difference: 0, matched: 3, unmatched: [] });
    expect(live.effect).toBeGreaterThan(0.1);
    expect((await verifyLora({ ...check, live: null })).difference).toBeLessThan(1e-4);
  });

  test('functions in another version of the operators stay calls', () => {
    const other = modelWithFunction();
    other.functions!.get('local:Block:')!.opsets = new Map([['', 16]]);
    expect(findLoraTargets(other, 'all').map((t) => t.module)).toEqual(['conv']);
  });
});

/** Self-attention as the optimiser leaves it: packed in one node, or as a product that attention reads head by head. */
const PACKED: readonly (readonly [string, string, readonly string[], (part: number, i: number) => number, Model])[] = [
  [
    'Attention',
    'text_model.encoder.layers.0.self_attn',
    ['q_proj', 'k_proj', 'v_proj'],
    (part, i) => part * 4 + i,
    fusedModel({ x: ['n', 5, 4] }, { Attention_0_qkv_weight: random('qkv', [4, 12]), b: random('b', [12]) }, [
      {
        op: 'Attention',
        domain: ms,
        name: 'Attention_0',
        in: ['x', 'Attention_0_qkv_weight', 'b'],
        out: ['/text_model/encoder/layers.0/self_attn/Reshape_3_output_0'],
        attributes: { num_heads: int(2) },
      },
      { op: 'Identity', in: ['/text_model/encoder/layers.0/self_attn/Reshape_3_output_0'], out: ['y'] },
    ]),
  ],
  [
    'MultiHeadAttention',
    'down_blocks.0.attn1',
    ['to_q', 'to_k', 'to_v'],
    (part, i) => Math.floor(i / 2) * 6 + part * 2 + (i % 2),
    fusedModel({ x: ['n', 5, 4] }, { MatMul_QKV_0_weight: random('qkv2', [4, 12]), shape: i64of([0, 0, 2, 3, 2]) }, [
      { op: 'MatMul', name: 'MatMul_QKV_0', in: ['x', 'MatMul_QKV_0_weight'], out: ['MatMul_QKV_0_out'] },
      { op: 'Reshape', in: ['MatMul_QKV_0_out', 'shape'], out: ['packed'] },
      {
        op: 'MultiHeadAttention',
        domain: ms,
        in: ['packed'],
        out: ['/down_blocks.0/attn1/Reshape_7_output_0'],
        attributes: { num_heads: int(2) },
      },
      { op: 'Identity', in: ['/down_blocks.0/attn1/Reshape_7_output_0'], out: ['y'] },
    ]),
  ],
];

function i64of(values: readonly number[]): Tensor {
  return { dtype: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) };
}

describe.each(PACKED)('query, key and value packed for %s', (name, path, leaves, column, model) => {
  const x = random('px', [2, 5, 4], 1);
  const run = (m: Model) =>
    runModel(name === 'Attention' ? m : decomposeModel(m, { inputDims: { x: [2, 5, 4] } }), { x });
  const targets = findLoraTargets(model, 'attention');
  const weight = targets[0]!.weight;

  test('are one target in the model and three modules in a file, which comes back number for number', () => {
    expect(targets).toHaveLength(1);
    expect(targets[0]!.parts!.map((p) => p.module)).toEqual(leaves.map((leaf) => `${path}.${leaf}`));
    const parameters = randomLora(targets, scale, 12);
    const file = join(folder, `${name}.safetensors`);
    const component = name === 'Attention' ? 'text_encoder' : 'denoiser';
    writeLoraFile(file, { targets, config: { ...scale, targets: 'attention' }, parameters, component });
    const prefix = name === 'Attention' ? 'lora_te' : 'lora_unet';
    const keys = [...readSafetensors(file).tensors.keys()].filter((k) => k.endsWith('lora_up.weight')).sort();
    expect(keys.every((k) => k.startsWith(prefix))).toBe(true);
    expect(keys.map((k) => /_([qkv]_proj|to_[qkv])\.lora_up/.exec(k)?.[1]).sort()).toEqual([...leaves].sort());
    const back = readLoraFile(file, model, { component });
    expect(back.unmatched).toEqual([]);
    expect(back.targets).toEqual(targets);
    expect([...back.parameters].map(([n, t]) => [n, toNumbers(t)])).toEqual(
      [...parameters].map(([n, t]) => [n, toNumbers(t)]),
    );
  });

  test('take adapters that were made for the three layers apart, of any ranks and alphas, or for some of them', async () => {
    const ranks = [1, 2, 3];
    const modules = leaves.slice(name === 'Attention' ? 0 : 1).map((leaf, j) => ({
      component: name === 'Attention' ? ('text_encoder' as const) : ('denoiser' as const),
      module: `${path}.${leaf}`,
      stem: `${path}.${leaf}`,
      down: random(`d${leaf}`, [ranks[j]!, 4]),
      up: random(`u${leaf}`, [4, ranks[j]!]),
      alpha: j + 1.5,
    }));
    const file = join(folder, `${name}-apart.safetensors`);
    writeLora(file, { modules, metadata: new Map() });
    const w = model.graph.initializers.get(weight) as Tensor;
    const values = toNumbers(w);
    for (const m of modules) {
      const part = leaves.indexOf(m.module.split('.').at(-1)!);
      const r = m.down.dims[0]!;
      const [d, u] = [toNumbers(m.down), toNumbers(m.up)];
      for (let i = 0; i < 4; i++)
        for (let o = 0; o < 4; o++)
          for (let k = 0; k < r; k++)
            values[i * 12 + column(part, o)]! += (m.alpha / r) * u[o * r + k]! * d[k * 4 + i]!;
    }
    const expected = await run(withWeight(model, weight, f32(w.dims, values)));
    const back = readLoraFile(file, model, modules[0]!.component === 'denoiser' ? {} : { component: 'text_encoder' });
    expect(back.unmatched).toEqual([]);
    const adapted = await run(insertLora(model, back.targets, back.config, back.parameters));
    expect(largestDifference(adapted, expected)).toBeLessThan(2e-5);
    expect(largestDifference(await run(model), expected)).toBeGreaterThan(0.05);
  });
});

test('gradients of adapters on a fused convolution and on packed attention agree with central differences', async () => {
  const model = fusedModel(
    { x: ['n', 3, 4, 4] },
    {
      'conv.weight': random('gc', [4, 3, 3, 3]),
      'attn.to_qkv.weight': random('ga', [4, 12]),
      b: random('gb', [12]),
      shape: i64of([0, 4, 16]),
    },
    [
      // A smooth activation: differences of a kink would not be derivatives.
      {
        op: 'FusedConv',
        domain: ms,
        in: ['x', 'conv.weight'],
        out: ['c'],
        attributes: { activation: str('Tanh'), pads },
      },
      { op: 'Reshape', in: ['c', 'shape'], out: ['r'] },
      { op: 'Transpose', in: ['r'], out: ['t'], attributes: { perm: ints([0, 2, 1]) } },
      {
        op: 'Attention',
        domain: ms,
        in: ['t', 'attn.to_qkv.weight', 'b'],
        out: ['y'],
        attributes: { num_heads: int(2) },
      },
    ],
  );
  const targets = findLoraTargets(model, 'all');
  expect(targets.map((t) => t.module)).toEqual(['conv', 'attn.to_qkv']);
  const parameters = randomLora(targets, scale, 3);
  const adapted = insertLora(model, targets, scale, parameters);
  const op = createBuilder();
  const dims = [2, 3, 4, 4];
  const imported = importGraph(op, adapted, {
    inputs: { x: dims },
    role: (n) => (parameters.has(n) ? 'input' : 'frozen'),
  });
  const y = imported.outputs.get('y')!;
  const cotangent = random('cot', y.dims, 1);
  const wrt = [...parameters.keys()].map((n) => imported.weights.get(n)!);
  const grads = addGradients(op, [{ value: y, cotangent: op.constant(cotangent) }], wrt);
  op.output(y, 'out');
  for (const v of wrt) op.output(grads.get(v.name)!, `grad/${v.name}`);
  const session = await createSession(encodeModel(op.toModel('gradient')), { threads: 1, training: true });
  const x = random('gx', dims, 1);
  const run = (changed: ReadonlyMap<string, Tensor>) => session.run({ x, ...Object.fromEntries(changed) });
  const c = toNumbers(cotangent);
  const loss = (out: Tensor) => toNumbers(out).reduce((s, v, i) => s + v * c[i]!, 0);
  const results = await run(parameters);
  for (const [n, t] of parameters) {
    const direction = toNumbers(random(`dir${n}`, t.dims, 1));
    const at = async (e: number) =>
      loss(
        (
          await run(
            new Map(parameters).set(
              n,
              f32(
                t.dims,
                toNumbers(t).map((v, i) => v + e * direction[i]!),
              ),
            ),
          )
        ).out!,
      );
    // float32 throughout: differences over 1e-2 are good to a few parts in a thousand.
    const difference = ((await at(1e-2)) - (await at(-1e-2))) / 2e-2;
    const given = toNumbers(results[`grad/${n}`]!).reduce((s, v, i) => s + v * direction[i]!, 0);
    expect(Math.abs(given - difference), n).toBeLessThan(2e-2 * Math.max(1, Math.abs(difference)));
  }
  await session.release();
});

test('a model read from a file gives the same targets as the one it was written from', () => {
  const model = modelWithFunction();
  const path = join(folder, 'again.onnx');
  writeModel(model, path);
  expect(findLoraTargets(readModel(path), 'all')).toEqual(findLoraTargets(model, 'all'));
});
