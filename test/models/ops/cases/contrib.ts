import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { type Attribute, float, floats, str } from '#models/onnx/ir.ts';
import { type DType, fromNumbers, numel } from '#models/tensor/tensor.ts';
import { awayFromZero, type GradientCase } from '#test/support/check-gradient.ts';

/** A case of an operator of ONNX Runtime's own. */
export interface ContribCase extends GradientCase {
  /** What the runtime's CPU kernel is good for; without one the numbers are held against closed forms. */
  readonly kernel: 'compared' | 'missing' | 'crashes';
}

type Attributes = Record<string, number | string | readonly number[] | Attribute | undefined>;

const given = (op: GraphBuilder, dtype: DType, dims: readonly number[], values: readonly number[]): Value =>
  op.constant(fromNumbers(dtype, dims, values));

/** Whole numbers below `below` that look random and are the same every time. */
const integers = (n: number, below: number, from = 0): number[] =>
  Array.from({ length: n }, (_, i) => from + ((Math.imul(i + 7, 2654435761) >>> 9) % below));

interface Simple {
  readonly title: string;
  readonly op: string;
  readonly inputs: GradientCase['inputs'];
  readonly attributes?: Attributes;
  readonly outputs?: number;
  /** Outputs that are in the graph; default: all. */
  readonly used?: readonly number[];
  readonly kernel?: ContribCase['kernel'];
  readonly domain?: string;
  /** The node's inputs from the case's, where they are not the same. */
  readonly feed?: (op: GraphBuilder, xs: readonly Value[]) => readonly (Value | null)[];
  readonly float32?: boolean;
}

const simple = (s: Simple): ContribCase => ({
  title: `${s.op} ${s.title}`,
  inputs: s.inputs,
  kernel: s.kernel ?? 'compared',
  decomposed: true,
  ...(s.float32 ? { float32: true } : {}),
  build: (op, ...xs) => {
    const made = op.applyMany(s.op, s.feed?.(op, xs) ?? xs, s.attributes ?? {}, s.outputs ?? 1, {
      domain: s.domain ?? 'com.microsoft',
    });
    return s.used ? s.used.map((i) => made[i]!) : made;
  },
});

const elementwise: readonly ContribCase[] = [
  simple({ op: 'Gelu', title: 'of a matrix', inputs: { x: [3, 5] } }),
  simple({ op: 'BiasGelu', title: 'with a bias per column', inputs: { x: [2, 3, 4], b: [4] } }),
  simple({ op: 'FastGelu', title: 'without bias', inputs: { x: [3, 5] } }),
  simple({ op: 'FastGelu', title: 'with bias', inputs: { x: [2, 3, 4], b: [4] } }),
  simple({ op: 'QuickGelu', title: 'as CLIP has it', inputs: { x: [3, 5] } }),
  simple({ op: 'QuickGelu', title: 'as SiLU', inputs: { x: [3, 5] }, attributes: { alpha: float(1) } }),
  simple({ op: 'BiasSplitGelu', title: 'of a feed-forward', inputs: { x: [2, 3, 8], b: [8] }, kernel: 'missing' }),
  simple({
    op: 'BiasAdd',
    title: 'of a residual block',
    inputs: { x: [2, 6, 4], b: [4], skip: [2, 6, 4] },
    kernel: 'missing',
  }),
  simple({
    op: 'BiasSoftmax',
    title: 'of scores with a mask per batch',
    inputs: { x: [2, 3, 4, 4], b: [2, 1, 1, 4] },
    attributes: { axis: -1, is_inner_broadcast: 1 },
    kernel: 'missing',
  }),
  simple({
    op: 'BiasSoftmax',
    title: 'over the last two axes',
    inputs: { x: [2, 3, 4], b: [3, 4] },
    attributes: { axis: 1, is_inner_broadcast: 0 },
    kernel: 'missing',
  }),
  simple({ op: 'Trilu', title: 'upper', inputs: { x: [2, 3, 4] } }),
  simple({
    op: 'Trilu',
    title: 'lower from a diagonal',
    inputs: { x: [3, 4] },
    attributes: { upper: 0 },
    feed: (op, [x]) => [x!, given(op, 'int64', [], [1])],
  }),
  ...[0, 2, -1].map((axis) =>
    simple({
      op: 'ExpandDims',
      title: `at axis ${axis}`,
      inputs: { x: [2, 3] },
      feed: (op, [x]) => [x!, given(op, 'int32', [], [axis])],
    }),
  ),
  simple({
    op: 'BiasDropout',
    title: 'at inference, with a residual',
    inputs: { x: [2, 3, 4], b: [4], residual: [2, 3, 4] },
    kernel: 'missing',
  }),
];

const products: readonly ContribCase[] = [
  ...['FusedMatMul', 'TransposeMatMul'].flatMap((name) => [
    simple({
      op: name,
      title: 'with a factor',
      inputs: { a: [2, 3, 4], b: [4, 5] },
      attributes: { alpha: float(0.5) },
    }),
    simple({
      op: name,
      title: 'with both factors turned',
      inputs: { a: [2, 4, 3], b: [2, 5, 4] },
      attributes: { transA: 1, transB: 1, alpha: float(-1.5) },
    }),
  ]),
  simple({
    op: 'FusedMatMul',
    title: 'of matrices, the first turned',
    inputs: { a: [4, 3], b: [4, 5] },
    attributes: { transA: 1 },
  }),
  simple({
    op: 'FusedMatMul',
    title: 'with the batch of A inside',
    inputs: { a: [3, 2, 4], b: [2, 4, 5] },
    attributes: { transBatchA: 1 },
  }),
  simple({
    op: 'FusedMatMul',
    title: 'with both batches inside, B turned',
    inputs: { a: [3, 2, 4, 6], b: [5, 2, 4, 6] },
    attributes: { transBatchA: 1, transBatchB: 1, transB: 1 },
  }),
  simple({
    op: 'FusedMatMul',
    title: 'with the batch of A inside, A turned',
    inputs: { a: [4, 2, 3], b: [2, 4, 5] },
    attributes: { transBatchA: 1, transA: 1 },
  }),
  simple({ op: 'FusedMatMul', title: 'of a vector', inputs: { a: [4], b: [4, 5] }, attributes: { transA: 1 } }),
  simple({
    op: 'FusedMatMulActivation',
    title: 'with a leaky rectifier',
    inputs: { a: [[2, 4, 3], awayFromZero], b: [[4, 5], awayFromZero] },
    attributes: { transA: 1, activation: str('LeakyRelu'), activation_alpha: float(0.2) },
    kernel: 'missing',
  }),
  simple({
    op: 'FusedMatMulActivation',
    title: 'with a softmax',
    inputs: { a: [2, 3, 4], b: [4, 5] },
    attributes: { activation: str('Softmax'), activation_axis: 1 },
    kernel: 'missing',
  }),
  ...(['Relu', 'LeakyRelu', 'Sigmoid', 'Tanh'] as const).map((activation) =>
    simple({
      op: 'FusedGemm',
      title: `with ${activation}`,
      inputs: { a: [3, 4], b: [5, 4], c: [5] },
      attributes: {
        transB: 1,
        alpha: float(0.7),
        beta: float(1.3),
        activation: str(activation),
        ...(activation === 'LeakyRelu' ? { activation_alpha: float(0.1) } : {}),
      },
    }),
  ),
  simple({
    op: 'FusedGemm',
    title: 'without a summand',
    inputs: { a: [4, 3], b: [4, 5] },
    attributes: { transA: 1, activation: str('Tanh') },
  }),
  simple({ op: 'GemmFastGelu', title: 'with a bias', inputs: { x: [2, 3, 4], w: [4, 5], b: [5] }, kernel: 'missing' }),
  simple({ op: 'GemmFastGelu', title: 'without bias', inputs: { x: [3, 4], w: [4, 5] }, kernel: 'missing' }),
];

const activations: readonly [name: string, params: readonly number[]][] = [
  ['Relu', []],
  ['Sigmoid', []],
  ['Tanh', []],
  ['LeakyRelu', [0.1]],
  ['Clip', [-0.5, 0.8]],
  ['HardSigmoid', [0.3, 0.4]],
];

const convolutions: readonly ContribCase[] = [
  ...activations.map(([name, params]) =>
    simple({
      op: 'FusedConv',
      title: `with ${name}`,
      inputs: { x: [2, 2, 5, 4], w: [3, 2, 3, 3], b: [3] },
      attributes: {
        pads: [1, 1, 1, 1],
        activation: str(name),
        ...(params.length ? { activation_params: floats(params) } : {}),
      },
    }),
  ),
  simple({
    op: 'FusedConv',
    title: 'with a summand and Relu',
    inputs: { x: [1, 4, 5, 4], w: [4, 2, 3, 2], b: [4], z: [1, 4, 3, 4] },
    attributes: { group: 2, strides: [2, 1], pads: [1, 0, 1, 1], kernel_shape: [3, 2], activation: str('Relu') },
  }),
  simple({
    op: 'FusedConv',
    title: 'with a summand and no bias',
    inputs: { x: [1, 2, 4, 4], w: [2, 2, 1, 1], z: [1, 2, 4, 4] },
    attributes: { activation: str('Tanh') },
    feed: (_, [x, w, z]) => [x!, w!, null, z!],
  }),
  simple({
    op: 'FusedConv',
    title: 'in one dimension',
    inputs: { x: [2, 2, 7], w: [3, 2, 3] },
    attributes: { dilations: [2], activation: str('Sigmoid') },
  }),
  simple({
    op: 'NhwcConv',
    title: 'with a turned kernel',
    inputs: { x: [2, 5, 4, 2], w: [3, 3, 2, 2], b: [3] },
    attributes: { pads: [1, 0, 1, 1], kernel_shape: [3, 2], strides: [2, 1] },
    kernel: 'missing',
  }),
  simple({
    op: 'NhwcConv',
    title: 'with a kernel of the standard layout',
    inputs: { x: [1, 5, 4, 4], w: [6, 2, 3, 3] },
    attributes: { kernel_shape: [3, 3], group: 2 },
    kernel: 'missing',
  }),
  simple({
    op: 'NhwcFusedConv',
    title: 'with a summand and Tanh',
    inputs: { x: [1, 5, 4, 2], w: [3, 2, 3, 3], b: [3], z: [1, 5, 4, 3] },
    attributes: { pads: [1, 1, 1, 1], kernel_shape: [3, 3], activation: str('Tanh') },
    kernel: 'missing',
  }),
  simple({
    op: 'NhwcMaxPool',
    title: 'of bytes that weigh an input',
    inputs: { x: [1, 2, 2, 3] },
    feed: (op) => [given(op, 'uint8', [1, 4, 5, 3], integers(60, 256))],
    attributes: { kernel_shape: [2, 2], strides: [2, 2] },
  }),
];
const pooled = convolutions.at(-1)!;
const weighted = (c: ContribCase): ContribCase => ({
  ...c,
  build: (op, x, ...rest) => op.mul(x!, op.cast((c.build(op, x!, ...rest) as Value[])[0]!, x!.dtype)),
});

const small = { epsilon: float(1e-2) };
const norms: readonly ContribCase[] = [
  ...[true, false].flatMap((beta) =>
    [true, false].map((bias) =>
      simple({
        op: 'SkipLayerNormalization',
        title: `${beta ? 'with' : 'without'} beta, ${bias ? 'with' : 'without'} bias`,
        inputs: {
          x: [2, 3, 4],
          skip: [2, 3, 4],
          gamma: [4],
          ...(beta ? { beta: [4] } : {}),
          ...(bias ? { bias: [4] } : {}),
        },
        attributes: small,
        feed: (_, [x, skip, gamma, ...rest]) => [x!, skip!, gamma!, beta ? rest[0]! : null, bias ? rest.at(-1)! : null],
      }),
    ),
  ),
  simple({
    op: 'SkipLayerNormalization',
    title: 'with a skip for all of the batch, and the sum',
    inputs: { x: [2, 3, 4], skip: [1, 3, 4], gamma: [4], beta: [4] },
    outputs: 4,
    used: [0, 3],
  }),
  simple({
    op: 'SkipLayerNormalization',
    title: 'with a skip without batch',
    inputs: { x: [2, 3, 4], skip: [3, 4], gamma: [4], beta: [4] },
  }),
  ...[true, false].map((bias) =>
    simple({
      op: 'SkipSimplifiedLayerNormalization',
      title: `${bias ? 'with' : 'without'} bias, and the sum`,
      inputs: { x: [2, 3, 4], skip: [2, 3, 4], gamma: [4], ...(bias ? { bias: [4] } : {}) },
      attributes: small,
      outputs: 4,
      used: [0, 3],
    }),
  ),
  simple({
    op: 'SimplifiedLayerNormalization',
    domain: '',
    title: 'over the last axis',
    inputs: { x: [2, 3, 4], gamma: [4] },
    attributes: small,
  }),
  simple({
    op: 'SimplifiedLayerNormalization',
    domain: '',
    title: 'over two axes, with 1/rms',
    inputs: { x: [2, 3, 4], gamma: [3, 4] },
    attributes: { axis: 1 },
    outputs: 2,
    float32: true,
  }),
  simple({
    op: 'EmbedLayerNormalization',
    title: 'of words, positions and segments, with a mask',
    inputs: { word: [7, 4], position: [5, 4], segment: [2, 4], gamma: [4], beta: [4] },
    attributes: small,
    outputs: 3,
    feed: (op, [word, position, segment, gamma, beta]) => [
      given(op, 'int32', [2, 3], [1, 4, 6, 0, 4, 4]),
      given(op, 'int32', [2, 3], [0, 0, 1, 0, 1, 1]),
      word!,
      position!,
      segment!,
      gamma!,
      beta!,
      given(op, 'int32', [2, 3], [1, 1, 0, 1, 0, 0]),
    ],
  }),
  ...[1, 2].map((batch) =>
    simple({
      op: 'EmbedLayerNormalization',
      title: `with given positions of ${batch} row(s) and no segments`,
      inputs: { word: [7, 4], position: [5, 4], gamma: [4], beta: [4] },
      attributes: small,
      outputs: 2,
      feed: (op, [word, position, gamma, beta]) => [
        given(op, 'int32', [2, 3], [1, 4, 6, 0, 4, 4]),
        null,
        word!,
        position!,
        null,
        gamma!,
        beta!,
        null,
        given(op, 'int32', [batch, 3], [2, 0, 4, 4, 1, 1].slice(0, 3 * batch)),
      ],
    }),
  ),
  ...[0, 1].flatMap((last) =>
    [0, 1].map((activation) =>
      simple({
        op: 'GroupNorm',
        title: `channels ${last ? 'last' : 'first'}, ${activation ? 'SiLU' : 'no activation'}`,
        inputs: { x: last ? [2, 3, 2, 4] : [2, 4, 3, 2], gamma: [4], beta: [4] },
        attributes: { ...small, groups: 2, activation, channels_last: last },
        kernel: 'missing',
      }),
    ),
  ),
  ...(
    [
      ['like the input', [2, 3, 2, 4]],
      ['per sample and channel', [2, 4]],
      ['per sample and channel, in four dimensions', [2, 1, 1, 4]],
    ] as const
  ).map(([text, skip], i) =>
    simple({
      op: 'SkipGroupNorm',
      title: `with a skip ${text}`,
      inputs: { x: [2, 3, 2, 4], gamma: [4], beta: [4], skip, ...(i > 0 ? { bias: [4] } : {}) },
      attributes: { ...small, groups: 2, activation: i % 2 },
      outputs: 2,
      kernel: 'missing',
    }),
  ),
  simple({
    op: 'SkipGroupNorm',
    title: 'with channels first',
    inputs: { x: [2, 4, 3, 2], gamma: [4], beta: [4], skip: [2, 4, 3, 2], bias: [4] },
    attributes: { ...small, groups: 2, activation: 1, channels_last: 0 },
    kernel: 'missing',
  }),
];

const masks: readonly [text: string, dims: readonly number[], values: readonly number[]][] = [
  ['keys counted per sample', [2], [2, 3]],
  ['ends and starts', [4], [3, 2, 1, 0]],
  ['a key mask', [2, 3], [1, 1, 0, 0, 1, 1]],
  ['a mask per query', [2, 3, 3], [1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1]],
];
const projection = { x: [2, 3, 4], w: [4, 12], b: [12] };

const attention: readonly ContribCase[] = [
  simple({ op: 'Attention', title: 'of two heads', inputs: projection, attributes: { num_heads: 2 } }),
  simple({
    op: 'Attention',
    title: 'causal, with its own scale',
    inputs: projection,
    attributes: { num_heads: 2, unidirectional: 1, scale: float(0.3) },
  }),
  simple({
    op: 'Attention',
    title: 'with small values',
    inputs: { x: [2, 3, 4], w: [4, 10], b: [10] },
    attributes: { num_heads: 2, qkv_hidden_sizes: [4, 4, 2] },
  }),
  simple({
    op: 'Attention',
    title: 'without bias',
    inputs: { x: [2, 3, 4], w: [4, 12] },
    attributes: { num_heads: 2 },
    // The CPU kernel reads the bias without asking whether there is one.
    kernel: 'crashes',
  }),
  simple({
    op: 'Attention',
    title: 'with an input of another width, and its present state',
    inputs: { x: [2, 3, 5], w: [5, 12], b: [12] },
    attributes: { num_heads: 2, unidirectional: 1 },
    outputs: 2,
  }),
  ...masks.flatMap(([text, dims, values]) =>
    [0, 1].map((unidirectional) =>
      simple({
        op: 'Attention',
        title: `with ${text}${unidirectional ? ', causal' : ''}`,
        inputs: projection,
        attributes: { num_heads: 2, unidirectional, ...(dims.length === 2 ? { mask_filter_value: float(-3) } : {}) },
        feed: (op, [x, w, b]) => [x!, w!, b!, given(op, 'int32', dims, values)],
      }),
    ),
  ),
  ...(
    [
      [2, 2, 3, 3],
      [1, 2, 3, 3],
      [1, 1, 3, 3],
    ] as const
  ).map((dims) =>
    simple({
      op: 'Attention',
      title: `with a bias on scores of [${dims}]`,
      inputs: { ...projection, bias: dims },
      attributes: { num_heads: 2 },
      feed: (op, [x, w, b, bias]) => [x!, w!, b!, given(op, 'int32', [2], [3, 2]), null, bias!],
    }),
  ),
  simple({
    op: 'MultiHeadAttention',
    title: 'across two sequences',
    inputs: { q: [2, 3, 4], k: [2, 5, 4], v: [2, 5, 4] },
    attributes: { num_heads: 2 },
  }),
  simple({
    op: 'MultiHeadAttention',
    title: 'with wide values, a bias and a scale',
    inputs: { q: [2, 3, 4], k: [2, 5, 4], v: [2, 5, 6], b: [14] },
    attributes: { num_heads: 2, scale: float(0.9) },
  }),
  simple({
    op: 'MultiHeadAttention',
    title: 'causal, with its keys and values as outputs',
    inputs: { q: [2, 3, 4], k: [2, 3, 4], v: [2, 3, 4], b: [12] },
    attributes: { num_heads: 2, unidirectional: 1 },
    outputs: 3,
  }),
  simple({
    op: 'MultiHeadAttention',
    title: 'with keys and values packed',
    inputs: { q: [2, 3, 4], kv: [2, 5, 2, 2, 2] },
    attributes: { num_heads: 2 },
    kernel: 'missing',
  }),
  simple({
    op: 'MultiHeadAttention',
    title: 'with all packed',
    inputs: { qkv: [2, 3, 2, 3, 2] },
    attributes: { num_heads: 2 },
    kernel: 'missing',
  }),
  simple({
    op: 'MultiHeadAttention',
    title: 'with keys and values by heads',
    inputs: { q: [2, 3, 4], k: [2, 2, 5, 2], v: [2, 2, 5, 2] },
    attributes: { num_heads: 2 },
  }),
  ...(
    [
      ['keys counted per sample', [2], [2, 5]],
      ['a key mask', [2, 5], [1, 1, 0, 1, 0, 0, 1, 1, 1, 1]],
      ['a mask per query', [2, 3, 5], integers(30, 2)],
    ] as const
  ).map(([text, dims, values]) =>
    simple({
      op: 'MultiHeadAttention',
      title: `with ${text} and a bias on scores`,
      inputs: { q: [2, 3, 4], k: [2, 5, 4], v: [2, 5, 4], bias: [1, 2, 3, 5] },
      attributes: { num_heads: 2, mask_filter_value: float(-2.5) },
      feed: (op, [q, k, v, bias]) => [q!, k!, v!, null, given(op, 'int32', dims, values), bias!],
    }),
  ),
  ...(
    [
      ['four heads on two', { num_heads: 4, kv_num_heads: 2 }, false],
      [
        'a scale, a soft cap and a window',
        { num_heads: 4, kv_num_heads: 2, scale: float(0.8), softcap: float(1.5), local_window_size: 2 },
        false,
      ],
      ['rotation by halves', { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }, true],
      ['rotation of pairs', { num_heads: 4, kv_num_heads: 2, do_rotary: 1, rotary_interleaved: 1 }, true],
    ] as const
  ).map(([text, attributes, rotary]) =>
    simple({
      op: 'GroupQueryAttention',
      title: text,
      inputs: {
        q: [2, 4, 64],
        k: [2, 4, 32],
        v: [2, 4, 32],
        ...(rotary ? { cos: [6, 8], sin: [6, 8] } : {}),
      },
      attributes,
      outputs: 3,
      feed: (op, [q, k, v, cos, sin]) => [
        q!,
        k!,
        v!,
        null,
        null,
        given(op, 'int32', [2], [3, 3]),
        given(op, 'int32', [], [4]),
        ...(rotary ? [cos!, sin!] : []),
      ],
    }),
  ),
  simple({
    op: 'GroupQueryAttention',
    title: 'all packed, with a bias on scores',
    inputs: { qkv: [2, 3, 64], bias: [1, 2, 3, 3] },
    attributes: { num_heads: 2, kv_num_heads: 1 },
    outputs: 3,
    feed: (op, [qkv, bias]) => [
      qkv!,
      null,
      null,
      null,
      null,
      given(op, 'int32', [2], [2, 2]),
      given(op, 'int32', [], [3]),
      null,
      null,
      null,
      bias!,
    ],
  }),
];

const positions: readonly ContribCase[] = [
  ...[0, 1].flatMap((interleaved) => [
    simple({
      op: 'RotaryEmbedding',
      title: `of whole heads, ${interleaved ? 'pairs' : 'halves'}`,
      inputs: { x: [2, 3, 8], cos: [6, 2], sin: [6, 2] },
      attributes: { interleaved },
      feed: (op, [x, cos, sin]) => [x!, given(op, 'int64', [2, 3], [0, 1, 2, 2, 4, 5]), cos!, sin!],
    }),
    simple({
      op: 'RotaryEmbedding',
      title: `by heads from one position on, ${interleaved ? 'pairs' : 'halves'}`,
      inputs: { x: [2, 2, 3, 4], cos: [6, 2], sin: [6, 2] },
      attributes: { interleaved },
      feed: (op, [x, cos, sin]) => [x!, given(op, 'int64', [1], [2]), cos!, sin!],
    }),
    simple({
      op: 'RotaryEmbedding',
      title: `of a part of each head, ${interleaved ? 'pairs' : 'halves'}`,
      inputs: { x: [2, 3, 12], cos: [6, 2], sin: [6, 2] },
      attributes: { interleaved, num_heads: 2, rotary_embedding_dim: 4 },
      feed: (op, [x, cos, sin]) => [x!, given(op, 'int64', [2, 3], [0, 1, 2, 2, 4, 5]), cos!, sin!],
    }),
  ]),
  ...[0, 1].map((is_bidirectional) =>
    simple({
      op: 'RelativePositionBias',
      title: is_bidirectional ? 'looking both ways' : 'looking one way',
      inputs: { table: [8, 2] },
      attributes: { max_distance: 20, is_bidirectional },
      feed: (op, [table]) => [table!, given(op, 'int64', [1], [9]), given(op, 'int64', [1], [9])],
      kernel: 'missing',
    }),
  ),
  simple({
    op: 'GatedRelativePositionBias',
    title: 'of two heads',
    inputs: { q: [2, 3, 4], qb: [4], rel: [1, 2, 3, 3], w: [2, 8], b: [8], eco: [1, 2, 1, 1] },
    attributes: { num_heads: 2 },
    kernel: 'missing',
  }),
];

const scales = (op: GraphBuilder, dtype: DType, dims: readonly number[]) =>
  given(
    op,
    dtype,
    dims,
    integers(numel(dims), 9, 1).map((v) => v / 64),
  );

const nBits = (bits: number, k: number, size: number, zero: 'none' | 'packed' | 'float', bias = false): ContribCase => {
  const n = 5;
  const blocks = Math.ceil(k / size);
  const packed = Math.ceil((blocks * bits) / 8);
  return simple({
    op: 'MatMulNBits',
    title: `of ${bits} bits, K ${k} in blocks of ${size}, zero points: ${zero}${bias ? ', bias' : ''}`,
    inputs: { x: [2, 3, k], ...(bias ? { b: [n] } : {}) },
    attributes: { N: n, K: k, block_size: size, bits },
    feed: (op, [x, b]) => [
      x!,
      given(op, 'uint8', [n, blocks, (size * bits) / 8], integers((n * blocks * size * bits) / 8, 256)),
      scales(op, x!.dtype, [n, blocks]),
      ...(zero === 'packed'
        ? [
            given(
              op,
              'uint8',
              [n, packed],
              integers(n * packed, 256, 3).map((v) => v & 255),
            ),
          ]
        : []),
      ...(zero === 'float'
        ? [
            given(
              op,
              x!.dtype,
              [n, blocks],
              integers(n * blocks, 40).map((v) => v / 4),
            ),
          ]
        : []),
      ...(b ? [...(zero === 'none' ? [null] : []), null, b] : []),
    ],
  });
};

const quantized: readonly ContribCase[] = [
  nBits(4, 32, 16, 'none'),
  nBits(4, 40, 16, 'packed'),
  nBits(4, 48, 32, 'float'),
  nBits(4, 32, 32, 'packed', true),
  nBits(8, 40, 16, 'packed'),
  nBits(8, 32, 32, 'none', true),
  simple({
    op: 'DequantizeLinear',
    title: 'of a tensor',
    inputs: { scale: [] },
    feed: (op, [scale]) => [given(op, 'uint8', [2, 3], integers(6, 256)), scale!, given(op, 'uint8', [], [131])],
  }),
  simple({
    op: 'DequantizeLinear',
    title: 'along an axis',
    inputs: { scale: [3] },
    attributes: { axis: 1 },
    feed: (op, [scale]) => [
      given(op, 'int8', [2, 3, 2], integers(12, 256, -128)),
      scale!,
      given(op, 'int8', [3], [-5, 0, 9]),
    ],
  }),
  ...[false, true].map((perColumn) =>
    simple({
      op: 'QAttention',
      title: perColumn ? 'with a scale per column, causal' : 'with one scale and keys counted',
      inputs: { b: [12] },
      attributes: { num_heads: 2, unidirectional: perColumn ? 1 : 0 },
      feed: (op, [b]) => [
        given(op, 'uint8', [2, 3, 4], integers(24, 256)),
        // Small: on processors without VNNI the kernel's products of bytes saturate at 16 bits.
        given(op, 'int8', [4, 12], integers(48, 100, -50)),
        b!,
        given(op, b!.dtype, [], [1 / 64]),
        scales(op, b!.dtype, perColumn ? [12] : []),
        perColumn ? null : given(op, 'int32', [2], [2, 3]),
        given(op, 'uint8', [], [120]),
        given(op, 'int8', perColumn ? [12] : [], perColumn ? new Array<number>(12).fill(0) : [3]),
      ],
    }),
  ),
];

export const contribCases: readonly ContribCase[] = [
  ...elementwise,
  ...products,
  ...convolutions.slice(0, -1),
  weighted(pooled),
  ...norms,
  ...attention,
  ...positions,
  ...quantized,
];
