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

/** `[1, 1, S, T]` of zeros where a query may look and the most negative number after its position (and before its window). */
function causalMask(op: GraphBuilder, s: number, t: number, dtype: DType, window: number): Value {
  const low = lowest(dtype);
  const values = new Array<number>(s * t);
  for (let i = 0; i < s; i++)
    for (let j = 0; j < t; j++) values[i * t + j] = j > i || (window > 0 && j <= i - window) ? low : 0;
  return op.constant(fromNumbers(dtype, [1, 1, s, t], values));
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
  const ahead = causal ? causalMask(op, queries, keys, dtype, options.window ?? 0) : null;
  if (!mask) return ahead;
  const dims = mask.dims;
  const as = (m: Value, ...shape: number[]) => op.reshape(m, shape);
  const position = () =>
    op.constant(
      fromNumbers(
        'int32',
        [1, 1, 1, keys],
        Array.from({ length: keys }, (_, i) => i),
      ),
    );
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
  const padding = op.where(counts, op.scalar(0, dtype), op.scalar(options.filter, dtype));
  if (!ahead) return padding;
  // What causality forbids is overwritten, not added to.
  return op.where(op.apply('Less', [ahead, op.scalar(0, dtype)]), ahead, padding);
}
