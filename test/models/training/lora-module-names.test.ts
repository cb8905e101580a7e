import { describe, expect, test } from 'vitest';
import type { Model, Node } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor, zeros } from '#models/tensor/tensor.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { attentionProjections, withoutWrappers } from '#models/training/lora-module-names.ts';
import { equalWeights } from '#models/training/lora-weights.ts';
import { gradientFixtures, loadGradientFixture } from '#test/support/gradients.ts';
import { randomTensor } from './lora-network.ts';

const modules = (model: Model) => findLoraTargets(model, 'all').map((t) => t.module);

describe('networks exported by PyTorch', () => {
  const models = gradientFixtures().map((entry) => ({
    ...entry,
    model: readModel(loadGradientFixture(entry).modelPath),
  }));

  test('every layer is called as its parameter was, whatever the exporter made of the names', () => {
    // The manifest was made by comparing values: it does not look at names.
    const wrong = models.flatMap(({ file, renamed, model }) =>
      findLoraTargets(model, 'all')
        .map((t) => [file, `${t.module}.weight`, (renamed[t.weight] ?? t.weight).replace(/\^T$/, '')] as const)
        .filter(([, name, parameter]) => name !== parameter),
    );
    expect(wrong).toEqual([]);
    // Most of the linear layers went through the mangling.
    expect(models.filter(({ renamed }) => Object.values(renamed).some((n) => n.endsWith('^T'))).length).toBeGreaterThan(
      15,
    );
  });

  test('no matrix or kernel of a layer is passed over but those of transposed and grouped convolutions', () => {
    const others = new Set([
      'ConvTranspose',
      'Gather',
      'GatherElements',
      'Add',
      'Concat',
      'Expand',
      'Mul',
      'Sub',
      'Where',
      'Slice',
      'Unsqueeze',
    ]);
    const left = models.flatMap(({ file, model }) => {
      const found = new Set(findLoraTargets(model, 'all').map((t) => t.weight));
      const users = (name: string) => model.graph.nodes.filter((n) => n.inputs.includes(name)).map((n) => n.opType);
      return [...model.graph.initializers]
        .filter(([name, t]) => t.dims.length >= 2 && t.dtype === 'float32' && !found.has(name))
        .filter(([name]) => !users(name).every((op) => others.has(op)))
        .filter(([name]) => !isGrouped(model, name))
        .map(([name]) => `${file} ${name} ${users(name)}`);
    });
    expect(left).toEqual([]);
  });

  function isGrouped(model: Model, weight: string): boolean {
    const group = model.graph.nodes.find((n) => n.inputs[1] === weight)?.attributes.get('group');
    return group?.kind === 'int' && group.value !== 1;
  }
});

describe('other makers', () => {
  /** y = (x·a + bias)·b with node names, value names and weight names of one's choice. */
  function twoLayers(
    change: (node: Node, i: number) => void,
    names = ['onnx::MatMul_1', 'onnx::MatMul_2'],
    bias = 'bias',
  ) {
    const op = createBuilder();
    const rng = new Rng(1);
    const [a, b] = names.map((name, i) => op.initializer(name, randomTensor(rng.fork(`${i}`), [3, 3]))) as [
      never,
      never,
    ];
    const x = op.apply('MatMul', [op.input('x', 'float32', [1, 3]), a], {}, 'MatMul_0');
    const h = op.add2(x, op.initializer(bias, f32([3], [1, 2, 3])));
    op.output(op.apply('MatMul', [h, b], {}, 'MatMul_1'), 'y');
    const model = op.toModel('two');
    model.graph.nodes.filter((n) => n.opType === 'MatMul').forEach(change);
    return model;
  }
  const named = (...paths: string[]) =>
    modules(
      twoLayers((node, i) => {
        node.name = paths[i]!;
      }),
    );

  test('paths: with and without a leading slash, counted, fused by the runtime', () => {
    expect(named('/down_blocks.0/attn/to_q/MatMul', '/down_blocks.0/attn/to_k/MatMul_1')).toEqual([
      'down_blocks.0.attn.to_q',
      'down_blocks.0.attn.to_k',
    ]);
    expect(named('a/to_q/MatMul/MatMulAddFusion', '/a/to_k/MatMul/MatMulScaleFusion/')[0]).toBe('a.to_q');
    expect(named('/a/to_q/Gemm_token_7', '/a/to_k/FusedMatMul')).toEqual(['a.to_q', 'a.to_k']);
  });

  test('wrappers around the whole network are not part of a name', () => {
    expect(named('/unet/mid_block/to_q/MatMul', '/unet/conv_out/MatMul')).toEqual(['mid_block.to_q', 'conv_out']);
    expect(withoutWrappers(['model.unet.a', 'model.unet.b'])).toEqual(['a', 'b']);
    expect(withoutWrappers(['unet.a', 'b'])).toEqual(['unet.a', 'b']);
    expect(withoutWrappers(['text_model.encoder.a', 'text_model.encoder.b'])[0]).toBe('text_model.encoder.a');
  });

  test('where node names are gone, outputs and biases tell', () => {
    const model = twoLayers((node) => {
      node.name = '';
    });
    const [first] = model.graph.nodes.filter((n) => n.opType === 'MatMul') as [Node];
    const [before, after] = [first.outputs[0]!, '/a/to_q/MatMul_output_0'];
    first.outputs[0] = after;
    for (const node of model.graph.nodes) node.inputs = node.inputs.map((name) => (name === before ? after : name));
    expect(modules(model)[0]).toBe('a.to_q');
    const biased = twoLayers(() => {}, ['1234', '1235'], 'blocks.0.fc1.bias');
    expect(modules(biased)[0]).toBe('blocks.0.fc1');
    // A scope that lacks its beginning is completed; a bias of another module is not taken.
    const scoped = (bias: string) =>
      modules(
        twoLayers(
          (node) => {
            node.name = '/fc1_1/MatMul';
          },
          undefined,
          bias,
        ),
      )[0];
    expect([scoped('caption.fc1.bias'), scoped('caption.fc2.bias')]).toEqual(['caption.fc1', 'fc1_1']);
  });

  test('weights that a quantiser or a caster renamed or hid are layers all the same', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [1, 4]);
    const half = op.initializer('a.to_q.weight', { dtype: 'float16', dims: [4, 4], data: new Uint16Array(16) });
    const h = op.apply('MatMul', [x, op.cast(half, 'float32')]);
    op.output(h, 'y');
    const model = op.toModel('hidden');
    model.graph.initializers.set('a.to_k.weight_quantized', { dtype: 'int8', dims: [4, 5], data: new Int8Array(20) });
    model.graph.initializers.set('scale', f32([], [0.1]));
    model.graph.initializers.set('a.to_v.MatMul.weight_Q4', zeros('uint8', [6, 1, 16]));
    model.graph.initializers.set('scales', f32([6], new Float32Array(6)));
    const node = (
      opType: string,
      inputs: string[],
      outputs: string[],
      domain = '',
      ints: Record<string, number> = {},
    ): Node => ({
      opType,
      domain,
      name: '',
      inputs,
      outputs,
      attributes: new Map(Object.entries(ints).map(([key, value]) => [key, { kind: 'int', value }])),
    });
    model.graph.nodes.push(
      node('DequantizeLinear', ['a.to_k.weight_quantized', 'scale'], ['w']),
      node('MatMul', ['x', 'w'], ['k']),
      node('MatMulNBits', ['x', 'a.to_v.MatMul.weight_Q4', 'scales'], ['v'], 'com.microsoft', { K: 4, N: 6, bits: 4 }),
      node('FusedMatMul', ['x', 'a.to_q.weight'], ['z'], 'com.microsoft', { transB: 1 }),
    );
    expect(
      findLoraTargets(model, 'attention').map((t) => [t.module, t.dtype, t.inFeatures, t.outFeatures, t.transposed]),
    ).toEqual([
      ['a.to_q', 'float32', 4, 4, false],
      ['a.to_k', 'float32', 4, 5, false],
      ['a.to_v', 'float32', 4, 6, true],
      ['a.to_q', 'float16', 4, 4, true],
    ]);
  });
});

test('attention projections of every family, and nothing else', () => {
  const chosen = (list: string) => [...attentionProjections(list.split(' '))].join(' ');
  const block = 'down_blocks.0.attentions.0.transformer_blocks.0';
  expect(
    chosen(`conv_in ${block}.attn1.to_q ${block}.attn2.to_out.0 ${block}.ff.net.2 down_blocks.0.attentions.0.proj_in`),
  ).toBe(`${block}.attn1.to_q ${block}.attn2.to_out.0 down_blocks.0.attentions.0.proj_in`);
  const layer = 'text_model.encoder.layers.0';
  expect(chosen(`${layer}.self_attn.q_proj ${layer}.self_attn.out_proj ${layer}.mlp.fc1 text_projection`)).toBe(
    `${layer}.self_attn.q_proj ${layer}.self_attn.out_proj`,
  );
  const joint = 'transformer_blocks.0.attn';
  // The last layer of SD3 and Flux is called proj_out, but projects no attention.
  expect(
    chosen(
      `${joint}.to_q ${joint}.add_v_proj ${joint}.to_add_out x_embedder proj_out single_transformer_blocks.0.proj_out`,
    ),
  ).toBe(`${joint}.to_q ${joint}.add_v_proj ${joint}.to_add_out single_transformer_blocks.0.proj_out`);
  expect(chosen('blocks.0.attn.qkv blocks.0.attn.proj blocks.0.mlp.fc1 patch.proj')).toBe(
    'blocks.0.attn.qkv blocks.0.attn.proj',
  );
  expect(chosen('b.0.SelfAttention.q b.0.SelfAttention.k b.0.SelfAttention.v b.0.SelfAttention.o b.1.wo v')).toBe(
    'b.0.SelfAttention.q b.0.SelfAttention.k b.0.SelfAttention.v b.0.SelfAttention.o',
  );
  expect(chosen('down.1.attn.attn2.to_q down.1.attn.attn2.to_out down.1.attn.ff.0 time.fc1')).toBe(
    'down.1.attn.attn2.to_q down.1.attn.attn2.to_out',
  );
});

test('weights beside the model are compared by type, shape and place before a byte is read', () => {
  const op = createBuilder();
  op.output(op.tanh(op.input('x', 'float32', [1])), 'y');
  const model = op.toModel('places');
  // No such file: reading would fail.
  model.folder = '/nowhere';
  const external = (dims: number[], offset: number, dtype: Tensor['dtype'] = 'float32') =>
    ({ dtype, dims, external: { location: 'data', offset, length: 4 * dims.reduce((a, b) => a * b, 1) } }) as const;
  model.graph.initializers = new Map([
    ['a', external([2, 3], 0)],
    ['same place', external([2, 3], 0)],
    ['other shape', external([3, 2], 0)],
    ['other type', external([2, 3], 0, 'int32')],
    ['elsewhere', external([2, 3], 24)],
  ]);
  expect(equalWeights(model, 'a', 'same place')).toBe(true);
  expect(equalWeights(model, 'a', 'other shape')).toBe(false);
  expect(equalWeights(model, 'a', 'other type')).toBe(false);
  expect(() => equalWeights(model, 'a', 'elsewhere')).toThrow('which cannot be read');
});
