import { describe, expect, test } from 'vitest';
import { decomposeModel } from '#models/autodiff/decompose-model.ts';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { type Attribute, float, isExternal, type Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { toFloat32, toHalf } from '#models/tensor/half.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { wrongGradients } from '#test/support/gradients.ts';

const [N, C, H, W, HEADS, TEXT] = [2, 8, 4, 4, 2, 3];
const GROUPS = 4;
const EPSILON = 1e-5;

const random = (name: string, dims: readonly number[], scale = 1): Tensor => {
  const rng = new Rng(11).fork(name);
  return f32(
    dims,
    Array.from({ length: numel(dims) }, () => scale * rng.normal()),
  );
};

const WEIGHTS: Readonly<Record<string, readonly number[]>> = {
  'in.w': [C, 3, 3, 3],
  'in.b': [C],
  'norm1.g': [C],
  'norm1.b': [C],
  'conv1.w': [C, C, 3, 3],
  'conv1.b': [C],
  'norm2.g': [C],
  'norm2.b': [C],
  'conv2.w': [C, C, 3, 3],
  'conv2.b': [C],
  'ln1.g': [C],
  'ln1.b': [C],
  'self.q': [C, C],
  'self.k': [C, C],
  'self.v': [C, C],
  'self.o': [C, C],
  'self.ob': [C],
  'ln2.g': [C],
  'ln2.b': [C],
  'cross.q': [C, C],
  'cross.k': [5, C],
  'cross.v': [5, C],
  'cross.o': [C, C],
  'cross.ob': [C],
  'ln3.g': [C],
  'ln3.b': [C],
  'ff.in': [C, 8 * C],
  'ff.inb': [8 * C],
  'ff.out': [4 * C, C],
  'ff.outb': [C],
  'out.w': [3, C, 3, 3],
  'out.b': [3],
};
const INPUTS: Readonly<Record<string, readonly number[]>> = { x: [N, 3, H, W], time: [N, C], text: [N, TEXT, 5] };

/** One network in one of two spellings. */
type Spelling = (op: GraphBuilder, w: (name: string) => Value, x: Value, time: Value, text: Value) => Value;

function model(spelling: Spelling): Model {
  const op = createBuilder();
  const inputs = Object.entries(INPUTS).map(([name, dims]) => op.input(name, 'float32', dims));
  const weights = new Map(
    Object.entries(WEIGHTS).map(([name, dims]) => [
      name,
      op.initializer(name, random(name, dims, dims.length > 1 ? 1 / Math.sqrt(numel(dims.slice(-3))) + 0.1 : 1)),
    ]),
  );
  op.output(
    spelling(op, (name) => weights.get(name)!, ...(inputs as [Value, Value, Value])),
    'y',
  );
  return op.toModel('unet');
}

const tokens = H * W;

/** As an exporter writes it: channels first, every operator by itself. */
const plain: Spelling = (op, w, x, time, text) => {
  const pads = [1, 1, 1, 1];
  const conv = (v: Value, name: string) => op.conv(v, w(`${name}.w`), w(`${name}.b`), { pads });
  const norm = (v: Value, name: string) => {
    const y = op.apply('GroupNormalization', [v, w(`${name}.g`), w(`${name}.b`)], {
      num_groups: GROUPS,
      epsilon: float(EPSILON),
    });
    return op.mul(y, op.sigmoid(y));
  };
  const layer = (v: Value, name: string) =>
    op.apply('LayerNormalization', [v, w(`${name}.g`), w(`${name}.b`)], { epsilon: float(EPSILON) });
  const heads = (v: Value) => op.transpose(op.reshape(v, [N, v.dims[1]!, HEADS, C / HEADS]), [0, 2, 1, 3]);
  const attention = (q: Value, k: Value, v: Value) => {
    const scores = op.mulScalar(op.matmul(heads(q), op.transposeLast(heads(k))), 1 / Math.sqrt(C / HEADS));
    return op.reshape(op.transpose(op.matmul(op.softmax(scores), heads(v)), [0, 2, 1, 3]), [N, tokens, C]);
  };
  const first = conv(x, 'in');
  const shifted = op.add2(conv(norm(first, 'norm1'), 'conv1'), op.reshape(time, [N, C, 1, 1]));
  const block = op.add2(first, conv(norm(shifted, 'norm2'), 'conv2'));
  let t = op.transpose(op.reshape(block, [N, C, tokens]), [0, 2, 1]);
  const a = layer(t, 'ln1');
  const own = attention(op.matmul(a, w('self.q')), op.matmul(a, w('self.k')), op.matmul(a, w('self.v')));
  t = op.add2(t, op.add2(op.matmul(own, w('self.o')), w('self.ob')));
  const b = layer(t, 'ln2');
  const other = attention(op.matmul(b, w('cross.q')), op.matmul(text, w('cross.k')), op.matmul(text, w('cross.v')));
  t = op.add2(t, op.add2(op.matmul(other, w('cross.o')), w('cross.ob')));
  const wide = op.add2(op.matmul(layer(t, 'ln3'), w('ff.in')), w('ff.inb'));
  const [left, right] = op.split(wide, 2, [4 * C, 4 * C]) as [Value, Value];
  const ff = op.matmul(op.mul(left, op.apply('Gelu', [right])), w('ff.out'));
  t = op.add2(t, op.add2(ff, w('ff.outb')));
  return conv(op.reshape(op.transpose(t, [0, 2, 1]), [N, C, H, W]), 'out');
};

/** As the transformer optimiser writes it for GPUs: channels last, norms with their sums, packed attention. */
const fused: Spelling = (op, w, x, time, text) => {
  type Attributes = Record<string, number | readonly number[] | Attribute>;
  const microsoft = (opType: string, inputs: readonly (Value | null)[], attributes: Attributes = {}, outputs = 1) =>
    op.applyMany(opType, inputs, attributes, outputs, { domain: 'com.microsoft' });
  const conv = (v: Value, name: string) =>
    microsoft('NhwcConv', [v, op.transpose(w(`${name}.w`), [0, 2, 3, 1]), w(`${name}.b`)], {
      pads: [1, 1, 1, 1],
      kernel_shape: [3, 3],
    })[0]!;
  const norm = { groups: GROUPS, activation: 1, epsilon: float(EPSILON) };
  const pack = (names: readonly string[], rows: number) =>
    op.reshape(
      op.concat(
        names.map((n) => op.reshape(w(n), [rows, HEADS, 1, C / HEADS])),
        2,
      ),
      [rows, names.length * C],
    );
  const skip = (v: Value, residual: Value, name: string, bias: Value) =>
    microsoft(
      'SkipLayerNormalization',
      [v, residual, w(`${name}.g`), w(`${name}.b`), bias],
      { epsilon: float(EPSILON) },
      4,
    );
  const first = conv(op.transpose(x, [0, 2, 3, 1]), 'in');
  const [n1] = microsoft('GroupNorm', [first, w('norm1.g'), w('norm1.b')], norm);
  const [n2] = microsoft('SkipGroupNorm', [conv(n1!, 'conv1'), w('norm2.g'), w('norm2.b'), time], norm, 2);
  const block = op.add2(first, conv(n2!, 'conv2'));
  const t = op.reshape(block, [N, tokens, C]);
  const a = op.apply('LayerNormalization', [t, w('ln1.g'), w('ln1.b')], { epsilon: float(EPSILON) });
  const qkv = op.reshape(op.matmul(a, pack(['self.q', 'self.k', 'self.v'], C)), [N, tokens, HEADS, 3, C / HEADS]);
  const own = microsoft('MultiHeadAttention', [qkv], { num_heads: HEADS })[0]!;
  const [b, , , t2] = skip(op.matmul(own, w('self.o')), t, 'ln2', w('self.ob'));
  const kv = op.reshape(op.matmul(text, pack(['cross.k', 'cross.v'], 5)), [N, TEXT, HEADS, 2, C / HEADS]);
  const other = microsoft('MultiHeadAttention', [op.matmul(b!, w('cross.q')), kv], { num_heads: HEADS })[0]!;
  const [c, , , t3] = skip(op.matmul(other, w('cross.o')), t2!, 'ln3', w('cross.ob'));
  const half = microsoft('BiasSplitGelu', [op.matmul(c!, w('ff.in')), w('ff.inb')])[0]!;
  const [t4] = microsoft('BiasAdd', [op.matmul(half, w('ff.out')), w('ff.outb'), t3!]);
  return op.transpose(conv(op.reshape(t4!, [N, H, W, C]), 'out'), [0, 3, 1, 2]);
};

const feeds = Object.fromEntries(Object.entries(INPUTS).map(([name, dims]) => [name, random(name, dims)]));

async function run(m: Model, extra: Record<string, Tensor> = {}): Promise<Map<string, Tensor>> {
  const session = await createSession(encodeModel(m), { threads: 1 });
  const out = await session.run({ ...feeds, ...extra });
  await session.release();
  return new Map(Object.entries(out));
}

describe('a UNet in the operators that the transformer optimiser writes for GPUs', () => {
  test('has the outputs and all gradients of its plain form', async () => {
    const wrt = [...Object.keys(WEIGHTS), ...Object.keys(INPUTS)];
    const gradients = async (spelling: Spelling) => {
      const g = gradientModel(model(spelling), { inputDims: INPUTS, wrt });
      expect(g.noPath).toEqual([]);
      return run(g.model, { 'cotangent/y': random('cotangent', [N, 3, H, W]) });
    };
    const reference = await gradients(plain);
    expect(reference.size).toBe(wrt.length + 1);
    expect(wrongGradients(await gradients(fused), reference, 1e-5)).toEqual([]);
  });

  test('does not run on a CPU as it is, and does once it is decomposed', async () => {
    const written = model(fused);
    await expect(run(written)).rejects.toThrow(expect.objectContaining({ code: 'session/operator' }));
    const decomposed = decomposeModel(written);
    expect(decomposed.graph.nodes.filter((n) => n.domain !== '')).toEqual([]);
    const matrices = Object.keys(WEIGHTS).filter((name) => WEIGHTS[name]!.length > 1);
    expect([...decomposed.graph.initializers.keys()]).toEqual(expect.arrayContaining(matrices));
    expect(wrongGradients(await run(decomposed), await run(model(plain)), 1e-5)).toEqual([]);
  });

  test('once decomposed has its convolutions and linear layers where adapters find them', () => {
    const weights = (m: Model) => new Set(findLoraTargets(m, 'all').map((t) => t.weight));
    expect([...weights(model(fused))].filter((name) => name.endsWith('.w'))).toEqual([]);
    const layers = ['in.w', 'conv1.w', 'conv2.w', 'out.w', 'self.o', 'cross.q', 'cross.o', 'ff.in', 'ff.out'];
    expect([...weights(decomposeModel(model(fused)))].sort()).toEqual(layers.sort());
  });

  test('of 16-bit weights and ports, its norms float32, computes in float32 once decomposed', async () => {
    const norms = /^norm/;
    const stored = (m: Model, store: (t: Tensor) => Tensor): Model => ({
      ...m,
      graph: {
        ...m.graph,
        initializers: new Map(
          [...m.graph.initializers].map(([name, t]) => {
            const half = !isExternal(t) && t.dtype === 'float32' && !norms.test(name);
            return [name, half ? store(t) : t];
          }),
        ),
      },
    });
    const gpu = stored(model(fused), (t) => toHalf(t, 'float16'));
    for (const info of [...gpu.graph.inputs, ...gpu.graph.outputs]) info.dtype = 'float16';
    const decomposed = decomposeModel(gpu);
    expect(new Set(decomposed.graph.inputs.map((i) => i.dtype))).toEqual(new Set(['float32']));
    const reference = stored(model(plain), (t) => toFloat32(toHalf(t, 'float16')));
    expect(wrongGradients(await run(decomposed), await run(reference), 1e-5)).toEqual([]);
  });

  test('is decomposed at the sizes asked for where its own are free', async () => {
    const free = model(fused);
    const one: Model = {
      ...free,
      graph: { ...free.graph, inputs: free.graph.inputs.map((i) => ({ ...i, dims: ['batch', ...i.dims!.slice(1)] })) },
    };
    const decomposed = decomposeModel(one, { inputDims: INPUTS });
    expect(decomposed.graph.inputs.map((i) => i.dims)).toEqual(Object.values(INPUTS));
    expect(() => decomposeModel(one)).toThrow(expect.objectContaining({ code: 'graph/no-size' }));
  });
});
