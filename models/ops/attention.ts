import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { type DType, fromNumbers, i64 } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext } from './define.ts';

/** `[B, L, H·d]` as `[B, H, L, d]`; four axes stay as they are. */
function toHeads(op: GraphBuilder, v: Value, heads: number): Value {
  if (v.dims.length === 4) return v;
  const [b, length, hidden] = v.dims as [number, number, number];
  return op.transpose(op.reshape(v, [b, length, heads, hidden / heads]), [0, 2, 1, 3]);
}

interface Sizes {
  readonly batch: number;
  readonly qHeads: number;
  readonly kvHeads: number;
  readonly queries: number;
  readonly newKeys: number;
  readonly past: number;
  readonly size: number;
  readonly vSize: number;
}

function sizesOf({ x, inputs, attrs }: InferContext): Sizes {
  const [q, k, v] = [x(0).dims, x(1).dims, x(2).dims];
  const flat = q.length === 3;
  const qHeads = flat ? attrs.int('q_num_heads') : q[1]!;
  const kvHeads = flat ? attrs.int('kv_num_heads') : k[1]!;
  return {
    batch: q[0]!,
    qHeads,
    kvHeads,
    queries: q.at(-2)!,
    newKeys: k.at(-2)!,
    past: inputs[4]?.dims[2] ?? 0,
    size: flat ? q[2]! / qHeads : q[3]!,
    vSize: flat ? v[2]! / kvHeads : v[3]!,
  };
}

const LOWEST: Partial<Record<DType, number>> = {
  float16: -65504,
  bfloat16: -3.3895e38,
  float32: -3.4028234663852886e38,
};

/**
 * ONNX `Attention`: softmax(scale·Q·Kᵀ + mask)·V over heads, in MatMul and Softmax; with grouped keys and values, causal
 * masks, soft capping, and a cache of past keys and values. Newer than the opset we build in.
 */
export const attention = defineOp({
  opType: 'Attention',
  sinceVersion: 23,
  infer: (c) => {
    const { dtype, dims } = c.x(0);
    const { batch, qHeads, kvHeads, queries, newKeys, past, size, vSize } = sizesOf(c);
    const keys = past + newKeys;
    return [
      { dtype, dims: dims.length === 3 ? [batch, queries, qHeads * vSize] : [batch, qHeads, queries, vSize] },
      { dtype: c.x(1).dtype, dims: [batch, kvHeads, keys, size] },
      { dtype: c.x(2).dtype, dims: [batch, kvHeads, keys, vSize] },
      { dtype, dims: [batch, qHeads, queries, keys] },
    ];
  },
  decompose: (c) => {
    const { op, x, inputs, attrs } = c;
    const s = sizesOf(c);
    const { dtype } = x(0);
    const keys = s.past + s.newKeys;
    const q = toHeads(op, x(0), s.qHeads);
    const withPast = (v: Value, past: Value | undefined) => (past ? op.concat([past, v], 2) : v);
    const k = withPast(toHeads(op, x(1), s.kvHeads), inputs[4]);
    const v = withPast(toHeads(op, x(2), s.kvHeads), inputs[5]);
    // Each key-value head serves a group of neighbouring query heads.
    const repeat = (w: Value) => {
      const group = s.qHeads / s.kvHeads;
      if (group === 1) return w;
      const d = w.dims[3]!;
      const wide = op.expand(op.reshape(w, [s.batch, s.kvHeads, 1, keys, d]), [s.batch, s.kvHeads, group, keys, d]);
      return op.reshape(wide, [s.batch, s.qHeads, keys, d]);
    };
    const scale = attrs.float('scale', 1 / Math.sqrt(s.size));
    const product = op.matmul(op.mulScalar(q, scale), op.transposeLast(repeat(k)));
    const { mask, seen } = maskOf(c, s, dtype);
    const softcap = attrs.float('softcap', 0);
    const capped = softcap > 0 ? op.mulScalar(op.tanh(op.mulScalar(product, 1 / softcap)), softcap) : product;
    const masked = mask ? op.add2(capped, mask) : capped;
    const precision = attrs.int('softmax_precision', 0) === 11 ? 'float64' : dtype;
    const p = op.cast(op.softmax(op.cast(masked, precision)), dtype);
    // On the result, which is smaller than the probabilities.
    const orZero = (rows: Value) => (seen ? op.where(seen, rows, op.scalar(0, dtype)) : rows);
    const heads = orZero(op.matmul(p, repeat(v)));
    const y =
      x(0).dims.length === 4
        ? heads
        : op.reshape(op.transpose(heads, [0, 2, 1, 3]), [s.batch, s.queries, s.qHeads * s.vSize]);
    const mode = attrs.int('qk_matmul_output_mode', 0);
    const shown = mode === 3 ? orZero(p) : [product, capped, masked][mode]!;
    return [y, k, v, shown].slice(0, Math.max(1, used(c.node)));
  },
});

const used = (node: Node) => node.outputs.length;

interface Mask {
  /** What is added to the scores: the given mask, the causal one, and the keys past each sample's length. Null: nothing. */
  readonly mask: Value | null;
  /** Which queries see a key at all, `[…, queries, 1]`; the others give 0, by the standard of opset 24. Null: all do. */
  readonly seen: Value | null;
}

function maskOf(c: InferContext & { readonly op: GraphBuilder }, s: Sizes, dtype: DType): Mask {
  const { op, inputs, attrs } = c;
  const keys = s.past + s.newKeys;
  const never = op.scalar(Number.NEGATIVE_INFINITY, dtype);
  const zero = op.scalar(0, dtype);
  const parts: Value[] = [];
  const given = inputs[3];
  if (given) {
    const bias = given.dtype === 'bool' ? op.where(given, zero, never) : given;
    const missing = keys - bias.dims.at(-1)!;
    const r = bias.dims.length;
    const pads = new Array<number>(2 * r).fill(0);
    pads[2 * r - 1] = missing;
    parts.push(missing > 0 && bias.dims.at(-1) !== 1 ? op.apply('Pad', [bias, op.i64(pads), never]) : bias);
  }
  if (attrs.int('is_causal', 0) === 1) {
    const rows = Array.from({ length: s.queries }, (_, i) =>
      Array.from({ length: keys }, (_k, j) => (j <= i + s.past ? 0 : Number.NEGATIVE_INFINITY)),
    );
    parts.push(op.constant(fromNumbers(dtype, [s.queries, keys], rows.flat())));
  }
  const lengths = inputs[6];
  if (lengths) {
    const places = op.constant(
      i64(
        [keys],
        Array.from({ length: keys }, (_, j) => j),
      ),
    );
    const valid = op.apply('Less', [places, op.reshape(lengths, [s.batch, 1, 1, 1])]);
    parts.push(op.where(valid, zero, never));
  }
  if (parts.length === 0) return { mask: null, seen: null };
  const sum = parts.reduce((a, b) => op.add2(a, b));
  // Every query sees at least the first key of a causal mask; softmax takes −∞ then.
  if (!given && !lengths) return { mask: sum, seen: null };
  const lowest = op.scalar(LOWEST[dtype] ?? -Number.MAX_VALUE, dtype);
  const best = op.apply('ReduceMax', [sum, op.i64([-1])], { keepdims: 1 });
  return { mask: op.apply('Max', [sum, lowest]), seen: op.apply('GreaterOrEqual', [best, lowest]) };
}

/**
 * Rotary position embedding (Su et al. 2021, arXiv:2104.09864): pairs of features turn by an angle that grows with the
 * position; pairs are neighbours (`interleaved`) or lie half the size apart.
 */
export const rotaryEmbedding = defineOp({
  opType: 'RotaryEmbedding',
  sinceVersion: 23,
  infer: ({ x }) => [x(0)],
  decompose: ({ op, x, inputs, attrs }) => {
    const flat = x(0).dims.length === 3;
    const heads = attrs.int('num_heads', 0);
    const [b, length] = [x(0).dims[0]!, x(0).dims.at(-2)!];
    const v = flat ? op.reshape(x(0), [b, length, heads, x(0).dims[2]! / heads]) : x(0);
    const size = v.dims[3]!;
    const turned = attrs.int('rotary_embedding_dim', 0) || size;
    const half = turned / 2;
    const angles = (cache: Value) => {
      const rows = inputs[3] ? op.gather(cache, inputs[3], 0) : cache;
      // [B, S, half], against heads outside or inside the positions.
      return op.reshape(rows, flat ? [rows.dims[0]!, length, 1, half] : [rows.dims[0]!, 1, length, half]);
    };
    const [cos, sin] = [angles(x(1)), angles(x(2))];
    const head = turned < size ? op.slice(v, 3, 0, turned) : v;
    const pairs = attrs.int('interleaved', 0) === 1;
    const outer = v.dims.slice(0, 3);
    const parts = pairs ? op.split(op.reshape(head, [...outer, half, 2]), 4, [1, 1]) : op.split(head, 3, [half, half]);
    const [first, second] = parts.map((p) => op.reshape(p, [...outer, half])) as [Value, Value];
    const real = op.sub(op.mul(first, cos), op.mul(second, sin));
    const imaginary = op.add2(op.mul(first, sin), op.mul(second, cos));
    const column = (w: Value) => op.reshape(w, [...outer, half, 1]);
    const rotated = pairs
      ? op.reshape(op.concat([column(real), column(imaginary)], 4), [...outer, turned])
      : op.concat([real, imaginary], 3);
    const whole = turned < size ? op.concat([rotated, op.slice(v, 3, turned, size)], 3) : rotated;
    return [op.reshape(whole, x(0).dims)];
  },
});
