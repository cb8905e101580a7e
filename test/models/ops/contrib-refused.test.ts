import { describe, expect, test } from 'vitest';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { type Attribute, int, str } from '#models/onnx/ir.ts';
import { createBuilder, operatorOf } from '#models/ops/index.ts';
import { type DType, fromNumbers, numel, type Tensor } from '#models/tensor/tensor.ts';
import { buildModel } from '#test/support/build-model.ts';

interface Refused {
  readonly title: string;
  readonly op: string;
  readonly inputs: readonly (Tensor | null)[];
  readonly attributes: Record<string, Attribute>;
  readonly outputs?: number;
  /** What the message says, and what the hint says to do. */
  readonly says: string;
  readonly hint: RegExp;
  readonly code?: string;
}

const zeros = (dims: readonly number[], dtype: DType = 'float32'): Tensor =>
  fromNumbers(dtype, dims, new Array<number>(numel(dims)).fill(0));

const heads = { num_heads: int(2) };
const [x, w, b] = [zeros([1, 3, 4]), zeros([4, 12]), zeros([12])];
const past = zeros([2, 1, 2, 5, 2]);
const grouped = { num_heads: int(2), kv_num_heads: int(1) };
const lengths = [zeros([1], 'int32'), fromNumbers('int32', [], [3])];
const packed = zeros([1, 64, 32], 'uint8');
const nBits = { K: int(32), N: int(1), block_size: int(32) };

const cases: readonly Refused[] = [
  {
    title: 'Attention with a cache',
    op: 'Attention',
    inputs: [x, w, b, null, past],
    attributes: heads,
    says: 'Attention "bad" has the input past ("x4")',
    hint: /without a key\/value cache/,
  },
  {
    title: 'Attention that turns positions itself',
    op: 'Attention',
    inputs: [x, w, b],
    attributes: { ...heads, do_rotary: int(1) },
    says: 'Attention "bad" has the attribute do_rotary = 1',
    hint: /rotary embedding as a node of its own/,
  },
  {
    title: 'Attention with a mask of four dimensions',
    op: 'Attention',
    inputs: [x, w, b, zeros([1, 1, 8, 8], 'int32')],
    attributes: heads,
    says: 'has a mask_index of shape [1, 1, 8, 8]',
    hint: /\[1, 3, 3\]/,
  },
  {
    title: 'MultiHeadAttention with a cache',
    op: 'MultiHeadAttention',
    inputs: [x, x, x, null, null, null, zeros([1, 2, 5, 2]), zeros([1, 2, 5, 2])],
    attributes: heads,
    says: 'has the input past_key ("x6")',
    hint: /without a key\/value cache/,
  },
  {
    title: 'MultiHeadAttention that gives its scores',
    op: 'MultiHeadAttention',
    inputs: [x, x, x],
    attributes: heads,
    outputs: 4,
    says: 'has the output qk',
    hint: /without the attention scores/,
  },
  {
    title: 'GroupQueryAttention with a cache',
    op: 'GroupQueryAttention',
    inputs: [x, zeros([1, 3, 2]), zeros([1, 3, 2]), zeros([1, 1, 5, 2]), zeros([1, 1, 5, 2]), ...lengths],
    attributes: grouped,
    says: 'has the input past_key',
    hint: /whole sequences/,
  },
  {
    title: 'GroupQueryAttention with a smooth softmax',
    op: 'GroupQueryAttention',
    inputs: [x, zeros([1, 3, 2]), zeros([1, 3, 2]), null, null, ...lengths],
    attributes: { ...grouped, smooth_softmax: int(1) },
    says: 'has the attribute smooth_softmax = 1',
    hint: /another model/,
  },
  {
    title: 'MatMulNBits of five bits',
    op: 'MatMulNBits',
    inputs: [zeros([2, 32]), packed, zeros([1, 1])],
    attributes: { ...nBits, bits: int(5) },
    says: 'has the attribute bits = 5',
    hint: /2, 4 or 8 bits/,
  },
  {
    title: 'MatMulNBits with reordered columns',
    op: 'MatMulNBits',
    inputs: [zeros([2, 32]), zeros([1, 1, 16], 'uint8'), zeros([1, 1]), null, zeros([32], 'int32')],
    attributes: { ...nBits, bits: int(4) },
    says: 'has the input g_idx',
    hint: /desc_act/,
  },
  {
    title: 'FusedConv with an activation nobody knows',
    op: 'FusedConv',
    inputs: [zeros([1, 1, 3, 3]), zeros([1, 1, 1, 1])],
    attributes: { activation: str('Snake') },
    says: 'has the attribute activation = "Snake"',
    hint: /level basic/,
  },
  {
    title: 'a channels-last kernel that fits in no layout',
    op: 'NhwcConv',
    inputs: [zeros([1, 4, 4, 3]), zeros([2, 4, 4, 5])],
    attributes: {},
    code: 'onnx/shape',
    says: 'a kernel of [2, 4, 4, 5] does not fit 3 channel(s)',
    hint: /^$/,
  },
  {
    title: 'an input that is missing',
    op: 'SkipLayerNormalization',
    inputs: [x, null, zeros([4])],
    attributes: {},
    code: 'onnx/missing-input',
    says: 'SkipLayerNormalization "bad" lacks its input 1',
    hint: /^$/,
  },
];

describe('an operator used in a way that has no standard form is refused by node and name, with what to do', () => {
  for (const c of cases) {
    test(c.title, () => {
      const names = c.inputs.map((t, i) => (t ? `x${i}` : ''));
      const outs = Array.from({ length: c.outputs ?? 1 }, (_, i) => `y${i}`);
      const model = buildModel({
        opset: 17,
        inputs: {},
        weights: Object.fromEntries(c.inputs.flatMap((t, i) => (t ? [[`x${i}`, t]] : []))),
        nodes: [{ op: c.op, domain: 'com.microsoft', name: 'bad', in: names, out: outs, attributes: c.attributes }],
        outputs: { y0: 'float32' },
      });
      let thrown: unknown;
      try {
        importGraph(createBuilder(), model, { inputs: {} });
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ code: c.code ?? 'onnx/unsupported', message: expect.stringContaining(c.says) });
      expect((thrown as { hint?: string }).hint ?? '').toMatch(c.hint);
    });
  }

  for (const [domain, opType, hint] of [
    ['com.microsoft', 'PackedAttention', 'packing mode off'],
    ['com.microsoft', 'DecoderMaskedMultiHeadAttention', 'without a key/value cache'],
    ['com.microsoft', 'QLinearConv', 'weights only'],
    ['com.microsoft', 'BeamSearch', 'without the search'],
    ['com.microsoft.nchwc', 'Conv', 'level extended'],
  ] as const) {
    test(`${opType} of ${domain} is not taken, and the message says what to do`, () => {
      expect(() => operatorOf({ domain, opType, name: 'n' })).toThrow(
        expect.objectContaining({ code: 'onnx/unknown-operator', hint: expect.stringContaining(hint) }),
      );
    });
  }
});
