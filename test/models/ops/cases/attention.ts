import { float } from '#models/onnx/ir.ts';
import { fromNumbers } from '#models/tensor/tensor.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

const q = [2, 2, 3, 4];
const k = [2, 2, 5, 4];
const v = [2, 2, 5, 3];

const attention = (
  title: string,
  inputs: GradientCase['inputs'],
  attributes: Record<string, number | ReturnType<typeof float>> = {},
  outputs = 1,
): GradientCase => ({
  title: `Attention ${title}`,
  inputs,
  opset: 23,
  build: (op, ...xs) => {
    const named = Object.keys(inputs);
    const at = (name: string) => (named.includes(name) ? xs[named.indexOf(name)]! : null);
    const list = ['q', 'k', 'v', 'mask', 'pastK', 'pastV'].map(at);
    return op.applyMany('Attention', list.slice(0, list.findLastIndex((x) => x !== null) + 1), attributes, outputs);
  },
});

const rotary = (
  title: string,
  x: readonly number[],
  cache: readonly number[],
  attributes: Record<string, number>,
  positions = false,
): GradientCase => ({
  title: `RotaryEmbedding ${title}`,
  inputs: { x, cos: cache, sin: cache },
  linear: true,
  float32: true,
  opset: 23,
  build: (op, y, cos, sin) =>
    op.apply(
      'RotaryEmbedding',
      positions ? [y!, cos!, sin!, op.constant(fromNumbers('int64', [2, 3], [0, 1, 2, 4, 2, 3]))] : [y!, cos!, sin!],
      attributes,
    ),
});

export const attentionCases: readonly GradientCase[] = [
  attention('of four axes', { q, k, v }),
  attention(
    'of three axes, three heads',
    { q: [2, 3, 6], k: [2, 4, 6], v: [2, 4, 9] },
    { q_num_heads: 3, kv_num_heads: 3 },
  ),
  attention('with its own scale', { q, k, v }, { scale: float(0.3) }),
  attention('with a mask that is added', { q, k, v, mask: [3, 5] }),
  attention('with a mask per head', { q, k, v, mask: [1, 2, 3, 5] }),
  attention('causal', { q, k: q, v: q }, { is_causal: 1 }),
  attention('with grouped keys and values', { q: [1, 4, 3, 2], k: [1, 2, 4, 2], v: [1, 2, 4, 3] }),
  attention('with soft capping', { q, k, v }, { softcap: float(0.7) }),
  attention('with soft capping and a mask', { q, k, v, mask: [3, 5] }, { softcap: float(0.7) }),
  attention('with a cache, which comes out longer', { q, k, v, pastK: [2, 2, 2, 4], pastV: [2, 2, 2, 3] }, {}, 3),
  attention('with a cache, causal', { q, k: q, v: q, pastK: [2, 2, 2, 4], pastV: [2, 2, 2, 4] }, { is_causal: 1 }, 3),
  ...[0, 1, 2, 3].map((mode) =>
    attention(`showing its scores, mode ${mode}`, { q, k, v, mask: [3, 5] }, { qk_matmul_output_mode: mode }, 4),
  ),
  {
    title: 'Attention with a mask of what to see',
    inputs: { q, k, v },
    opset: 23,
    build: (op, a, b, c) =>
      op.apply('Attention', [
        a!,
        b!,
        c!,
        op.constant(fromNumbers('bool', [3, 5], [1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1])),
      ]),
  },
  rotary('of four axes', [2, 2, 3, 4], [2, 3, 2], {}),
  rotary('of four axes, interleaved', [2, 2, 3, 4], [2, 3, 2], { interleaved: 1 }),
  rotary('of three axes, at given positions', [2, 3, 8], [5, 2], { num_heads: 2 }, true),
  rotary('of part of each head', [2, 2, 3, 6], [5, 2], { rotary_embedding_dim: 4 }, true),
  rotary('of part of each head, interleaved', [2, 3, 12], [2, 3, 2], {
    rotary_embedding_dim: 4,
    num_heads: 2,
    interleaved: 1,
  }),
];
