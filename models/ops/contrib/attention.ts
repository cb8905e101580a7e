import type { TypedShape, Value } from '#models/onnx/builder.ts';
import type { InferContext, OpDefinition } from '#models/ops/define.ts';
import { toNumbers } from '#models/tensor/tensor.ts';
import { attend, attentionMask, splitHeads } from './attend.ts';
import { badShape, contribOp, type Decompose, refuse, refuseAttribute, refuseInput, wants } from './contrib-op.ts';
import { rotate } from './rotary.ts';

const NO_PAST = 'Export the model without a key/value cache (use_cache=False): training sees whole sequences.';

/** Scale 0 means the default, 1/√(head size). */
const scaleOf = (c: InferContext, headSize: number): number => {
  const scale = c.attrs.float('scale', 0);
  return scale === 0 ? 1 / Math.sqrt(headSize) : scale;
};

function hiddenSizes(c: InferContext, projected: number): [q: number, k: number, v: number] {
  const given = c.attrs.ints('qkv_hidden_sizes', []);
  if (given.length === 0) return [projected / 3, projected / 3, projected / 3];
  if (given.length !== 3 || given[0] !== given[1] || given[0]! + given[1]! + given[2]! !== projected)
    badShape(c, `qkv_hidden_sizes [${given.join(', ')}] do not fit a projection to ${projected}`);
  return [given[0]!, given[1]!, given[2]!];
}

/** Self-attention from a projection `[B, S, D + D + Dv]`; shared by the float and the quantised form. */
export function selfAttention(
  c: Decompose,
  projected: Value,
  options: { readonly mask: Value | undefined; readonly bias: Value | undefined },
): readonly Value[] {
  const { op, attrs } = c;
  const [b, s, width] = projected.dims as [number, number, number];
  const heads = attrs.int('num_heads');
  const sizes = hiddenSizes(c, width);
  const [q, k, v] = op.split(projected, 2, sizes).map((part) => splitHeads(op, part, heads)) as [Value, Value, Value];
  const mask = attentionMask(c, {
    mask: options.mask,
    maskName: 'mask_index',
    batch: b,
    queries: s,
    keys: s,
    dtype: projected.dtype,
    filter: attrs.float('mask_filter_value', -10000),
    causal: attrs.int('unidirectional', 0) === 1,
  });
  const y = attend(op, q, k, v, { scale: scaleOf(c, sizes[0] / heads), biases: [options.bias ?? null, mask] });
  if (!wants(c, 1)) return [y];
  if (sizes[2] !== sizes[0])
    refuse(c, 'has the output present and values of another size than keys', 'Export the model without the output.');
  const one = (x: Value) => op.reshape(x, [1, ...x.dims]);
  return [y, op.concat([one(k), one(v)], 0)];
}

function presentDims(c: InferContext, width: number): readonly number[] {
  const [b, s] = c.x(0).dims as [number, number];
  const heads = c.attrs.int('num_heads');
  return [2, b, heads, s, hiddenSizes(c, width)[2] / heads];
}

/** Self-attention with its projections in one product. input `[B, S, Din]`, weights `[Din, D + D + Dv]`. */
const attention = contribOp({
  opType: 'Attention',
  infer: (c) => {
    const [b, s] = c.x(0).dims as [number, number];
    const width = c.x(1).dims[1]!;
    const { dtype } = c.x(0);
    return [
      { dtype, dims: [b, s, hiddenSizes(c, width)[2]] },
      { dtype, dims: presentDims(c, width) },
    ];
  },
  decompose: (c) => {
    const { op, x, inputs } = c;
    refuseInput(c, 4, 'past', NO_PAST);
    refuseInput(c, 6, 'past_sequence_length', NO_PAST);
    refuseAttribute(c, 'past_present_share_buffer', 0, NO_PAST);
    refuseAttribute(c, 'do_rotary', 0, 'Export the model with the rotary embedding as a node of its own.');
    const product = op.matmul(x(0), x(1));
    const projected = inputs[2] ? op.add2(product, inputs[2]) : product;
    return selfAttention(c, projected, { mask: inputs[3], bias: inputs[5] });
  },
});

interface Heads {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
}

/** Q, K, V as `[B, N, S or L, H]` from any of the layouts that MultiHeadAttention takes. */
function headsOf(c: Decompose, heads: number): Heads {
  const { op, inputs, x } = c;
  const [query, key, value, bias] = inputs;
  const packed = query!.dims.length === 5;
  const part = (v: Value, axis: number, i: number, n: number) => {
    const one = op.split(v, axis, new Array<number>(n).fill(1))[i]!;
    return op.reshape(
      one,
      one.dims.filter((_, a) => a !== axis),
    );
  };
  // Each `[B, S, N, H]`, or `[B, N, L, H]` where the keys come that way.
  let q: Value;
  let k: Value;
  let v: Value;
  let keysFirst = false;
  const shape4 = (a: Value) => op.reshape(a, [a.dims[0]!, a.dims[1]!, heads, a.dims[2]! / heads]);
  if (packed) {
    if (key || value) badShape(c, 'a packed query [B, S, N, 3, H] leaves no place for key and value');
    if (query!.dims[2] !== heads || query!.dims[3] !== 3)
      badShape(c, `a packed query is [B, S, ${heads}, 3, H], not [${query!.dims.join(', ')}]`);
    [q, k, v] = [0, 1, 2].map((i) => part(x(0), 3, i, 3)) as [Value, Value, Value];
  } else if (!key) {
    return refuse(c, 'has no key', 'Give query, key and value, or a packed query of five dimensions.');
  } else {
    q = shape4(x(0));
    if (key.dims.length === 5) {
      if (key.dims[2] !== heads || key.dims[3] !== 2)
        badShape(c, `a packed key is [B, L, ${heads}, 2, H], not [${key.dims.join(', ')}]`);
      [k, v] = [0, 1].map((i) => part(key, 3, i, 2)) as [Value, Value];
    } else if (!value) {
      return badShape(c, 'value is missing');
    } else {
      keysFirst = key.dims.length === 4;
      k = keysFirst ? key : shape4(key);
      v = keysFirst ? value : shape4(value);
    }
  }
  if (bias) {
    if (keysFirst) badShape(c, 'there is no bias for keys that are given by heads');
    const size = (a: Value) => a.dims[2]! * a.dims[3]!;
    const biases = op.split(bias, 0, [size(q), size(k), size(v)]);
    [q, k, v] = [q, k, v].map((a, i) => op.add2(a, op.reshape(biases[i]!, [1, 1, a.dims[2]!, a.dims[3]!]))) as [
      Value,
      Value,
      Value,
    ];
  }
  const swap = (a: Value) => op.transpose(a, [0, 2, 1, 3]);
  return { q: swap(q), k: keysFirst ? k : swap(k), v: keysFirst ? v : swap(v) };
}

function multiHeadShapes(c: InferContext): TypedShape[] {
  const query = c.x(0);
  const heads = c.attrs.int('num_heads');
  const [b, s] = query.dims as [number, number];
  const { dtype } = query;
  const key = c.inputs[1];
  const value = c.inputs[2];
  const headSize = query.dims.length === 5 ? query.dims[4]! : query.dims[2]! / heads;
  const keys = !key ? s : key.dims.length === 4 ? key.dims[2]! : key.dims[1]!;
  const vHead = !value ? headSize : value.dims.length === 4 ? value.dims[3]! : value.dims[2]! / heads;
  return [
    { dtype, dims: [b, s, heads * vHead] },
    { dtype, dims: [b, heads, keys, headSize] },
    { dtype, dims: [b, heads, keys, vHead] },
  ];
}

/** Attention of projected heads. Separate Q, K, V; K and V packed; all packed; K and V by heads. */
const multiHeadAttention = contribOp({
  opType: 'MultiHeadAttention',
  infer: multiHeadShapes,
  decompose: (c) => {
    const { op, inputs, attrs } = c;
    const past = ['past_key', 'past_value', 'past_sequence_length', 'cache_indirection'];
    past.forEach((name, i) => {
      refuseInput(c, 6 + i, name, NO_PAST);
    });
    if (wants(c, 3)) refuse(c, 'has the output qk', 'Export the model without the attention scores as an output.');
    const { q, k, v } = headsOf(c, attrs.int('num_heads'));
    const mask = attentionMask(c, {
      mask: inputs[4],
      maskName: 'key_padding_mask',
      batch: q.dims[0]!,
      queries: q.dims[2]!,
      keys: k.dims[2]!,
      dtype: q.dtype,
      filter: attrs.float('mask_filter_value', -10000),
      causal: attrs.int('unidirectional', 0) === 1,
    });
    const y = attend(op, q, k, v, { scale: scaleOf(c, q.dims[3]!), biases: [inputs[5] ?? null, mask] });
    return [y, k, v];
  },
});

interface Grouped {
  readonly heads: number;
  readonly keyHeads: number;
  readonly headSize: number;
}

function groupsOf(c: InferContext): Grouped {
  const heads = c.attrs.int('num_heads');
  const keyHeads = c.attrs.int('kv_num_heads');
  const width = c.x(0).dims[2]!;
  return { heads, keyHeads, headSize: width / (c.inputs[1] ? heads : heads + 2 * keyHeads) };
}

/** Causal attention whose keys and values serve several query heads each. Without a cache, so the sequence is whole. */
const groupQueryAttention = contribOp({
  opType: 'GroupQueryAttention',
  infer: (c) => {
    const { heads, keyHeads, headSize } = groupsOf(c);
    const [b, s] = c.x(0).dims as [number, number];
    const { dtype } = c.x(0);
    const present = { dtype, dims: [b, keyHeads, s, headSize] };
    return [{ dtype, dims: [b, s, heads * headSize] }, present, present];
  },
  decompose: (c) => {
    const { op, inputs, attrs, x } = c;
    const { heads, keyHeads, headSize } = groupsOf(c);
    const [b, s] = x(0).dims as [number, number];
    const cached = inputs[3] && inputs[3].dims[2] !== 0;
    if (cached) refuseInput(c, 3, 'past_key', NO_PAST);
    if (inputs[4] && inputs[4].dims[2] !== 0) refuseInput(c, 4, 'past_value', NO_PAST);
    const total = c.constant(6);
    if (total && toNumbers(total)[0] !== s)
      refuse(c, `has total_sequence_length ${toNumbers(total)[0]} for ${s} tokens`, NO_PAST);
    refuseInput(c, 9, 'position_ids', 'Export the model without position_ids, so that positions count from zero.');
    refuseInput(c, 11, 'head_sink', 'There is no way around it: choose another model.');
    refuseInput(c, 14, 'q_norm_weight', 'Export the model with the norms of queries and keys as nodes of their own.');
    refuseInput(c, 15, 'k_norm_weight', 'Export the model with the norms of queries and keys as nodes of their own.');
    refuseAttribute(c, 'smooth_softmax', 0, 'There is no way around it: choose another model.');
    if (wants(c, 3)) refuse(c, 'has the output output_qk', 'Export the model without the scores as an output.');
    const widths = [heads * headSize, keyHeads * headSize, keyHeads * headSize];
    const parts = inputs[1] ? [x(0), inputs[1], x(2)] : op.split(x(0), 2, widths);
    let [q, k, v] = parts.map((p, i) => splitHeads(op, p, i === 0 ? heads : keyHeads)) as [Value, Value, Value];
    if (attrs.int('do_rotary', 0) === 1) {
      const turn = (h: Value) =>
        rotate(op, h, {
          cos: op.slice(x(7), 0, 0, s),
          sin: op.slice(x(8), 0, 0, s),
          interleaved: attrs.int('rotary_interleaved', 0) === 1,
        });
      q = turn(q);
      k = turn(k);
    }
    const repeat = heads / keyHeads;
    const wide = (h: Value) =>
      op.reshape(op.expand(op.reshape(h, [b, keyHeads, 1, s, headSize]), [b, keyHeads, repeat, s, headSize]), [
        b,
        heads,
        s,
        headSize,
      ]);
    const mask = attentionMask(c, {
      mask: undefined,
      maskName: '',
      batch: b,
      queries: s,
      keys: s,
      dtype: q.dtype,
      filter: 0,
      causal: true,
      window: Math.max(0, attrs.int('local_window_size', -1)),
    });
    const y = attend(op, q, wide(k), wide(v), {
      scale: scaleOf(c, headSize),
      biases: [inputs[10] ?? null, mask],
      softcap: attrs.float('softcap', 0),
    });
    return [y, k, v];
  },
});

export const attentionOps: readonly OpDefinition[] = [attention, multiHeadAttention, groupQueryAttention];
