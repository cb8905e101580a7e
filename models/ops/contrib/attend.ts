import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { type DType, fromNumbers } from '#models/tensor/tensor.ts';
import { type Decompose, refuse } from './contrib-op.ts';

/** The most negative finite number, which the runtime puts where a causal mask forbids a look. */
const lowest = (dtype: DType): number => (dtype === 'float16' ? -65504 : -3.4028234663852886e38);

/** `[B, S, N·H]` → `[B, N, S, H]`. */
export function splitHeads(op: GraphBuilder, x: Value, heads: number): Value {
  const [b, s, d] = x.dims as [number, number, number];
  return op.transpose(op.reshape(x, [b, s, heads, d / heads]), [0, 2, 1, 3]);
}

/** `[B, N, S, H]` → `[B, S, N·H]`. */
export function mergeHeads(op: GraphBuilder, x: Value): Value {
  const [b, n, s, h] = x.dims as [number, number, number, number];
  return op.reshape(op.transpose(x, [0, 2, 1, 3]), [b, s, n * h]);
}

/**
 * softmax(scale·Q·Kᵀ + Σ biases)·V with heads merged: `[B, S, N·Hv]` from q `[B, N, S, H]`, k `[B, N, T, H]`,
 * v `[B, N, T, Hv]` and biases that broadcast to `[B, N, S, T]`.
 * @param softcap c > 0: scores become c·tanh(score/c) before the biases.
 */
export function attend(
  op: GraphBuilder,
  q: Value,
  k: Value,
  v: Value,
  options: { readonly scale: number; readonly biases: readonly (Value | null)[]; readonly softcap?: number },
): Value {
  let scores = op.matmul(op.mulScalar(q, options.scale), op.transposeLast(k));
  const cap = options.softcap ?? 0;
  if (cap > 0) scores = op.mulScalar(op.tanh(op.mulScalar(scores, 1 / cap)), cap);
  for (const bias of options.biases) if (bias) scores = op.add2(scores, bias);
  return mergeHeads(op, op.matmul(op.softmax(scores), v));
}

/** 0 … n−1 along one axis of four. */
const countUp = (op: GraphBuilder, n: number, axis: 2 | 3): Value =>
  op.constant(
    fromNumbers(
      'int32',
      axis === 2 ? [1, 1, n, 1] : [1, 1, 1, n],
      Array.from({ length: n }, (_, i) => i),
    ),
  );

/** `[1, 1, S, T]`, true where a key lies ahead of its query or, with a window, behind it. */
function outOfSight(op: GraphBuilder, queries: number, keys: number, window: number): Value {
  const [query, key] = [countUp(op, queries, 2), countUp(op, keys, 3)];
  const ahead = op.apply('Greater', [key, query]);
  if (window <= 0) return ahead;
  return op.apply('Or', [ahead, op.apply('LessOrEqual', [key, op.addScalar(query, -window)])]);
}

/**
 * The additive mask of the runtime's attention: `filter` where `mask` forbids a look, the most negative number where causality
 * does; null where nothing is forbidden.
 * @param mask int32: `[B, T]` or `[B, S, T]` with 1 for keys that count; `[B]` their number; `[2B]` exclusive ends, then
 *   inclusive starts.
 */
export function attentionMask(
  c: Decompose,
  options: {
    readonly mask: Value | undefined;
    readonly maskName: string;
    readonly batch: number;
    readonly queries: number;
    readonly keys: number;
    readonly dtype: DType;
    readonly filter: number;
    readonly causal: boolean;
    /** Keys a query may look back on, its own included; 0: all. */
    readonly window?: number;
  },
): Value | null {
  const { op } = c;
  const { mask, batch, queries, keys, dtype } = options;
  const causal = options.causal && queries > 1;
  const hidden = causal ? outOfSight(op, queries, keys, options.window ?? 0) : null;
  const zero = op.scalar(0, dtype);
  // What causality forbids is overwritten, not added to.
  const hide = (rest: Value) => (hidden ? op.where(hidden, op.scalar(lowest(dtype), dtype), rest) : rest);
  if (!mask) return hidden && hide(zero);
  const dims = mask.dims;
  const as = (m: Value, ...shape: number[]) => op.reshape(m, shape);
  const position = () => countUp(op, keys, 3);
  let counts: Value;
  if (dims.length === 3 && dims[0] === batch && dims[1] === queries && dims[2] === keys) {
    counts = op.apply('Greater', [as(mask, batch, 1, queries, keys), op.scalar(0, mask.dtype)]);
  } else if (dims.length === 2 && dims[0] === batch && dims[1] === keys) {
    counts = op.apply('Greater', [as(mask, batch, 1, 1, keys), op.scalar(0, mask.dtype)]);
  } else if (dims.length === 1 && dims[0] === batch) {
    counts = op.apply('Less', [position(), as(mask, batch, 1, 1, 1)]);
  } else if (dims.length === 1 && dims[0] === 2 * batch) {
    const [end, start] = op.split(mask, 0, [batch, batch]) as [Value, Value];
    counts = op.apply('And', [
      op.apply('Less', [position(), as(end, batch, 1, 1, 1)]),
      op.apply('GreaterOrEqual', [position(), as(start, batch, 1, 1, 1)]),
    ]);
  } else {
    return refuse(
      c,
      `has a ${options.maskName} of shape [${dims.join(', ')}]`,
      `Give a mask of shape [${batch}], [${batch}, ${keys}] or [${batch}, ${queries}, ${keys}], or export without one.`,
    );
  }
  return hide(op.where(counts, zero, op.scalar(options.filter, dtype)));
}
