import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { type Attribute, float, int, ints, type Model, type Node, str } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { type DType, f32, fromNumbers, i64, type Tensor } from '#models/tensor/tensor.ts';
import { gradientFixtures, loadGradientFixture, relativeError, wrongGradients } from '#test/support/gradients.ts';

// What exporters of today write: the same networks with the same weights as the PyTorch fixtures, in operators of opset 24.
// The exporter that made the fixtures spells every one of these out in smaller operators.

type Attributes = Record<string, number | string | readonly number[] | Attribute>;

/** Nodes as an exporter lists them, and the fixture's weights by their PyTorch names. */
class Network {
  readonly nodes: Node[] = [];
  readonly initializers = new Map<string, Tensor>();
  private readonly fixtureNames = new Map<string, string>();
  private count = 0;
  readonly fixture;

  constructor(folder: string) {
    const entry = gradientFixtures().find((f) => f.folder === folder && f.short)!;
    this.fixture = loadGradientFixture(entry);
    for (const [name, t] of readModel(this.fixture.modelPath).graph.initializers) {
      if (t.dtype !== 'float32') continue;
      // A norm's weight of shape [C, 1, 1] is a vector again.
      const [parameter, shaped] = (entry.renamed[name] ?? name).split('[');
      this.fixtureNames.set(parameter!, name);
      this.initializers.set(parameter!, shaped ? ({ ...t, dims: [t.dims[0]!] } as Tensor) : (t as Tensor));
    }
  }

  reference(parameter: string): Tensor {
    const t = this.fixture.gradient(this.fixtureNames.get(parameter) ?? parameter);
    return { ...t, dims: this.initializers.get(parameter)?.dims ?? t.dims };
  }

  many(opType: string, inputs: readonly string[], attributes: Attributes, outputs: number): string[] {
    const name = `${opType}_${this.count++}`;
    const names = Array.from({ length: outputs }, (_, i) => `${name}.${i}`);
    const typed = Object.entries(attributes).map(([key, v]): [string, Attribute] => [
      key,
      typeof v === 'number'
        ? int(v)
        : typeof v === 'string'
          ? str(v)
          : Array.isArray(v)
            ? ints(v as readonly number[])
            : (v as Attribute),
    ]);
    this.nodes.push({ opType, domain: '', name, inputs: [...inputs], outputs: names, attributes: new Map(typed) });
    return names;
  }

  op(opType: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.many(opType, inputs, attributes, 1)[0]!;
  }

  constant(t: Tensor): string {
    const name = `constant_${this.count++}`;
    this.initializers.set(name, t);
    return name;
  }

  /** The linear layer `name`, whose weight is stored as PyTorch has it or transposed. */
  linear(name: string, x: string, bias = true): string {
    const weight = this.initializers.has(`${name}.weight^T`)
      ? `${name}.weight^T`
      : this.op('Transpose', [`${name}.weight`], { perm: [1, 0] });
    const y = this.op('MatMul', [x, weight]);
    return bias ? this.op('Add', [y, `${name}.bias`]) : y;
  }

  conv(name: string, x: string, attributes: Attributes): string {
    const kernel = this.initializers.get(`${name}.weight`)!.dims.slice(2);
    return this.op('Conv', [x, `${name}.weight`, `${name}.bias`], { kernel_shape: kernel, ...attributes });
  }

  /** Every gradient that differs from PyTorch's by more than 1e-4, and how far the outputs are off. */
  async wrong(outputs: Record<string, string>): Promise<{ gradients: string[]; outputs: number }> {
    const { inputs, cotangents } = this.fixture;
    const info = (name: string, dtype: DType, dims: readonly number[]) => ({ name, dtype, dims });
    for (const [name, value] of Object.entries(outputs)) {
      const node: Node = {
        opType: 'Identity',
        domain: '',
        name,
        inputs: [value],
        outputs: [name],
        attributes: new Map(),
      };
      this.nodes.push(node);
    }
    const model: Model = {
      irVersion: 10,
      producerName: 'test',
      opsets: new Map([['', 24]]),
      metadata: new Map(),
      graph: {
        name: 'newest',
        nodes: this.nodes,
        inputs: [...inputs].map(([name, t]) => info(name, t.dtype, t.dims)),
        outputs: [...this.fixture.outputs].map(([name, t]) => info(name, 'float32', t.dims)),
        initializers: this.initializers,
        valueInfo: new Map(),
      },
    };
    const floating = [...inputs].filter(([, t]) => t.dtype === 'float32').map(([name]) => name);
    const wrt = [...this.fixtureNames.keys(), ...floating];
    const gradient = gradientModel(model, {
      inputDims: Object.fromEntries([...inputs].map(([n, t]) => [n, t.dims])),
      wrt,
    });
    expect(gradient.noPath).toEqual([]);
    const session = await createSession(encodeModel(gradient.model));
    const feeds = [...inputs, ...[...cotangents].map(([n, t]) => [`cotangent/${n}`, t] as const)];
    const results = await session.run(Object.fromEntries(feeds));
    await session.release();
    const actual = new Map(wrt.flatMap((n) => (results[`grad/${n}`] ? [[n, results[`grad/${n}`]!] as const] : [])));
    return {
      gradients: wrongGradients(actual, new Map(wrt.map((n) => [n, this.reference(n)])), 1e-4),
      outputs: Math.max(...[...this.fixture.outputs].map(([n, t]) => relativeError(results[n]!, t))),
    };
  }
}

const epsilon = (value: number) => ({ epsilon: float(value) });

describe('networks of opset 24 have the gradients that PyTorch gives', () => {
  test('GroupNormalization, Swish, Attention of one head and Resize: the autoencoder', async () => {
    const n = new Network('vae');
    const same = { pads: [1, 1, 1, 1] };
    const norm = (name: string, x: string, eps: number) =>
      n.op('GroupNormalization', [x, `${name}.weight`, `${name}.bias`], { num_groups: 4, ...epsilon(eps) });
    const swish = (x: string) => n.op('Swish', [x]);
    const resnet = (name: string, x: string, shortcut: boolean) => {
      const h = n.conv(`${name}.conv1`, swish(norm(`${name}.norm1`, x, 1e-5)), same);
      const y = n.conv(`${name}.conv2`, swish(norm(`${name}.norm2`, h, 1e-5)), same);
      return n.op('Add', [shortcut ? n.conv(`${name}.conv_shortcut`, x, {}) : x, y]);
    };
    let x = resnet('encoder_resnet', n.conv('encoder_in', 'image', same), false);
    x = n.conv('encoder_down', x, { strides: [2, 2], pads: [0, 0, 1, 1] });
    x = n.conv('encoder_out', swish(norm('encoder_norm', x, 1e-6)), same);
    const [mean, logVariance] = n.many('Split', [x], { axis: 1, num_outputs: 2 }, 2) as [string, string];
    const scalar = (v: number) => n.constant(f32([], [v]));
    const clipped = n.op('Clip', [logVariance, scalar(-30), scalar(20)]);
    const std = n.op('Exp', [n.op('Mul', [clipped, scalar(0.5)])]);
    x = n.conv('decoder_in', n.op('Add', [mean, n.op('Mul', [std, 'noise'])]), same);
    const rows = n.op('Reshape', [norm('decoder_attn.group_norm', x, 1e-6), n.constant(i64([3], [0, 0, -1]))]);
    const tokens = n.op('Transpose', [rows], { perm: [0, 2, 1] });
    const [q, k, v] = ['q', 'k', 'v'].map((p) => n.linear(`decoder_attn.attn.to_${p}`, tokens)) as [
      string,
      string,
      string,
    ];
    const attended = n.op('Attention', [q, k, v], { q_num_heads: 1, kv_num_heads: 1 });
    const back = n.op('Transpose', [n.linear('decoder_attn.attn.to_out', attended)], { perm: [0, 2, 1] });
    x = n.op('Add', [n.op('Reshape', [back, n.op('Shape', [x])]), x]);
    x = resnet('decoder_resnet', x, true);
    const larger = n.op('Resize', [x, '', n.constant(f32([4], [1, 1, 2, 2]))], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });
    x = n.conv('decoder_up.conv', larger, same);
    x = n.conv('decoder_out', swish(norm('decoder_norm', x, 1e-6)), same);
    const wrong = await n.wrong({ reconstruction: x, mean, log_variance: logVariance });
    expect(wrong.gradients).toEqual([]);
    expect(wrong.outputs).toBeLessThan(1e-5);
  });

  test('RMSNormalization, Attention with a bias and a scale, tanh Gelu: the relative-position text encoder', async () => {
    const n = new Network('t5');
    const length = n.fixture.inputs.get('input_ids')!.dims[1]!;
    const bucket = (distance: number) => {
      const far = Math.abs(distance);
      const large = Math.min(2 + Math.trunc((Math.log(far / 2) / Math.log(8)) * 2), 3);
      return (distance > 0 ? 4 : 0) + (far < 2 ? far : large);
    };
    const buckets = Array.from({ length: length ** 2 }, (_, i) => bucket((i % length) - Math.floor(i / length)));
    const indices = n.constant(i64([length, length], buckets));
    const position = n.op('Transpose', [n.op('Gather', ['relative_embedding.weight', indices])], { perm: [2, 0, 1] });
    const mask = n.op('Cast', [n.op('Unsqueeze', ['attention_mask', n.constant(i64([2], [1, 2]))])], { to: 1 });
    const masked = n.op('Mul', [
      n.op('Sub', [n.constant(f32([], [1])), mask]),
      n.constant(fromNumbers('float32', [], [-1e4])),
    ]);
    const bias = n.op('Add', [position, masked]); // [B, heads, T, T]
    const rms = (name: string, x: string) => n.op('RMSNormalization', [x, `${name}.weight`], epsilon(1e-6));
    let x = n.op('Gather', ['token_embedding.weight', 'input_ids']);
    for (const b of ['blocks.0', 'blocks.1']) {
      const y = rms(`${b}.norm1`, x);
      const [q, k, v] = ['q', 'k', 'v'].map((p) => n.linear(`${b}.${p}`, y, false)) as [string, string, string];
      const h = n.op('Attention', [q, k, v, bias], { q_num_heads: 2, kv_num_heads: 2, scale: float(1) });
      x = n.op('Add', [x, n.linear(`${b}.o`, h, false)]);
      const z = rms(`${b}.norm2`, x);
      const gate = n.op('Gelu', [n.linear(`${b}.wi_0`, z, false)], { approximate: 'tanh' });
      x = n.op('Add', [x, n.linear(`${b}.wo`, n.op('Mul', [gate, n.linear(`${b}.wi_1`, z, false)]), false)]);
    }
    const wrong = await n.wrong({ last_hidden_state: rms('final_norm', x) });
    expect(wrong.gradients).toEqual([]);
    expect(wrong.outputs).toBeLessThan(1e-5);
  });

  test('LayerNormalization, exact Gelu, dilated Conv and Attention: the masked sequence model', async () => {
    const n = new Network('dna');
    const flip = (x: string) => n.op('Transpose', [x], { perm: [0, 2, 1] });
    const norm = (name: string, x: string) =>
      n.op('LayerNormalization', [x, `${name}.weight`, `${name}.bias`], { axis: -1, ...epsilon(1e-5) });
    const column = n.constant(i64([1], [1]));
    const frequencies = n.constant(
      f32(
        [1, 4],
        [0, 1, 2, 3].map((i) => Math.exp((-Math.log(10000) * i) / 4)),
      ),
    );
    const angles = n.op('Mul', [n.op('Unsqueeze', ['sigma', column]), frequencies]);
    const waves = n.op('Concat', [n.op('Cos', [angles]), n.op('Sin', [angles])], { axis: -1 });
    const hidden = n.op('Swish', [n.linear('noise_level.linear_1', waves)]);
    const level = n.op('Swish', [n.linear('noise_level.linear_2', hidden)]);
    let x = n.op('Relu', [
      n.conv('stem', flip(n.op('Gather', ['token_embedding.weight', 'tokens'])), { pads: [4, 4] }),
    ]);
    for (const [b, dilation] of [
      ['blocks.0', 1],
      ['blocks.1', 4],
    ] as const) {
      const shift = n.op('Unsqueeze', [n.linear(`${b}.level`, level), n.constant(i64([1], [2]))]);
      const h = flip(norm(`${b}.norm`, flip(n.op('Add', [x, shift]))));
      const wide = n.conv(`${b}.conv`, h, { dilations: [dilation], pads: [2 * dilation, 2 * dilation] });
      x = n.op('Add', [x, n.conv(`${b}.out`, n.op('Gelu', [wide]), {})]);
    }
    let t = flip(x);
    const y = norm('transformer.norm1', t);
    const [q, k, v] = ['q', 'k', 'v'].map((p) => n.linear(`transformer.attn.to_${p}`, y)) as [string, string, string];
    const h = n.op('Attention', [q, k, v], { q_num_heads: 2, kv_num_heads: 2 });
    t = n.op('Add', [t, n.linear('transformer.attn.to_out', h)]);
    const inner = n.op('Gelu', [n.linear('transformer.fc1', norm('transformer.norm2', t))]);
    t = n.op('Add', [t, n.linear('transformer.fc2', inner)]);
    const logits = n.op('Add', [n.linear('head', t), n.constant(f32([5], [0, 0, 0, 0, -1e4]))]);
    const bounds = [0, 4, 2].map((i) => n.constant(i64([1], [i])));
    const bases = n.op('Slice', [n.op('LogSoftmax', [logits], { axis: -1 }), ...bounds]);
    const masked = n.op('Equal', ['tokens', n.constant(i64([], [4]))]);
    const there = n.op('Unsqueeze', [masked, n.constant(i64([1], [-1]))]);
    const out = n.op('Where', [there, bases, n.constant(f32([], [0]))]);
    const wrong = await n.wrong({ log_probabilities: out });
    expect(wrong.gradients).toEqual([]);
    expect(wrong.outputs).toBeLessThan(1e-5);
  });
});
