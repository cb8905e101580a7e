import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { OpDefinition } from '#models/ops/define.ts';
import { fromNumbers } from '#models/tensor/tensor.ts';
import { mergeHeads, splitHeads } from './attend.ts';
import { contribOp, refuse, refuseAttribute, sameAsInput } from './contrib-op.ts';

/**
 * Turns the first 2·r features of each head by the angle of its position (Su et al. 2021, arXiv:2104.09864): (a, b) becomes
 * (a·cos − b·sin, b·cos + a·sin), where a and b are the two halves of those features or, interleaved, every other one.
 * @param x `[B, N, S, H]`; cos and sin `[S, r]` or `[B, 1, S, r]`.
 */
export function rotate(
  op: GraphBuilder,
  x: Value,
  options: { readonly cos: Value; readonly sin: Value; readonly interleaved: boolean },
): Value {
  const { cos, sin, interleaved } = options;
  const half = cos.dims.at(-1)!;
  const [b, n, s, h] = x.dims as [number, number, number, number];
  const turned = 2 * half === h ? x : op.slice(x, 3, 0, 2 * half);
  let first: Value;
  let second: Value;
  if (interleaved) {
    const pairs = op.split(op.reshape(turned, [b, n, s, half, 2]), 4, [1, 1]);
    [first, second] = pairs.map((p) => op.reshape(p, [b, n, s, half])) as [Value, Value];
  } else {
    [first, second] = op.split(turned, 3, [half, half]) as [Value, Value];
  }
  const left = op.sub(op.mul(first, cos), op.mul(second, sin));
  const right = op.add2(op.mul(second, cos), op.mul(first, sin));
  const one = (v: Value) => op.reshape(v, [b, n, s, half, 1]);
  const y = interleaved
    ? op.reshape(op.concat([one(left), one(right)], 4), [b, n, s, 2 * half])
    : op.concat([left, right], 3);
  return 2 * half === h ? y : op.concat([y, op.slice(x, 3, 2 * half, h)], 3);
}

/** input `[B, S, N·H]` or `[B, N, S, H]`, position_ids `[1]` (the first position) or `[B, S]`, caches `[positions, r]`. */
const rotaryEmbedding = contribOp({
  opType: 'RotaryEmbedding',
  infer: sameAsInput,
  decompose: (c) => {
    const { op, x, attrs } = c;
    refuseAttribute(c, 'is_packed_batching', 0, 'Export the model for padded batches.');
    refuseAttribute(c, 'scale', 1, 'Multiply the tables of cosines and sines by it instead.');
    const byHeads = x(0).dims.length === 4;
    const half = x(2).dims[1]!;
    const width = byHeads ? x(0).dims[3]! : x(0).dims[2]!;
    const dim = attrs.int('rotary_embedding_dim', 0);
    const headSize = byHeads ? width : dim > 0 ? width / attrs.int('num_heads', 0) : 2 * half;
    if (!Number.isInteger(width / headSize))
      refuse(c, `turns part of each head without num_heads`, 'Set num_heads, or give the input as [B, N, S, H].');
    const heads = byHeads ? x(0) : splitHeads(op, x(0), width / headSize);
    const [, , s] = heads.dims as [number, number, number];
    const ids = x(1);
    const positions =
      ids.dims.length === 2
        ? ids
        : op.add2(op.reshape(ids, [1]), op.constant(fromNumbers(ids.dtype, [s], [...Array(s).keys()])));
    // [S, r], or [B, 1, S, r]
    const table = (t: Value) => {
      const rows = op.gather(t, positions, 0);
      return ids.dims.length === 2 ? op.reshape(rows, [rows.dims[0]!, 1, s, half]) : rows;
    };
    const y = rotate(op, heads, {
      cos: table(x(2)),
      sin: table(x(3)),
      interleaved: attrs.int('interleaved', 0) === 1,
    });
    return [byHeads ? y : mergeHeads(op, y)];
  },
});

export const rotaryOps: readonly OpDefinition[] = [rotaryEmbedding];
