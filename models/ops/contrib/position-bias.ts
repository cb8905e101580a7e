import type { Value } from '#models/onnx/builder.ts';
import type { OpDefinition } from '#models/ops/define.ts';
import { knownInts } from '#models/ops/shape.ts';
import { i64 } from '#models/tensor/tensor.ts';
import { splitHeads } from './attend.ts';
import { contribOp, refuseInput } from './contrib-op.ts';

/**
 * The bucket of a distance key − query: exact while small, then logarithmic up to `maxDistance`
 * (Raffel et al. 2020, arXiv:1910.10683, section 2.1). One-sided: the distance without its sign, as the runtime takes it.
 */
function bucket(distance: number, buckets: number, maxDistance: number, bidirectional: boolean): number {
  const count = bidirectional ? Math.floor(buckets / 2) : buckets;
  const offset = bidirectional && distance > 0 ? count : 0;
  const d = Math.abs(distance);
  const exact = Math.floor(count / 2);
  if (d < exact) return offset + d;
  // In float32 like the runtime: a distance on the border of two buckets must fall on the same side.
  const f = Math.fround;
  const share = f(f(Math.log(f(d / exact))) / f(Math.log(f(maxDistance / exact))));
  return offset + Math.min(exact + Math.trunc(f(share * (count - exact))), count - 1);
}

/** Attention bias `[1, N, S, T]` looked up in a table `[buckets, N]` by relative position. */
const relativePositionBias = contribOp({
  opType: 'RelativePositionBias',
  infer: (c) => [{ dtype: c.x(0).dtype, dims: [1, c.x(0).dims[1]!, knownInts(c, 1)[0]!, knownInts(c, 2)[0]!] }],
  decompose: (c) => {
    const { op, x, attrs } = c;
    const [buckets, heads] = x(0).dims as [number, number];
    const [s, t] = [knownInts(c, 1)[0]!, knownInts(c, 2)[0]!];
    const indices = Array.from({ length: s * t }, (_, i) =>
      bucket((i % t) - Math.floor(i / t), buckets, attrs.int('max_distance'), attrs.int('is_bidirectional', 0) === 1),
    );
    const rows = op.gather(x(0), op.constant(i64([s, t], indices)), 0);
    return [op.reshape(op.transpose(rows, [2, 0, 1]), [1, heads, s, t])];
  },
});

/**
 * A relative position bias scaled by a gate on the query. query `[B, S, N·H]`, rel_pos `[1, N, S, S]`, weight `[H, D]`:
 * (u, r) = σ of the sums of the halves of query·weight + bias; y = (u·(r·eco_a − 1) + 2)·rel_pos.
 */
const gatedRelativePositionBias = contribOp({
  opType: 'GatedRelativePositionBias',
  infer: ({ x, attrs }) => {
    const [b, s] = x(0).dims as [number, number];
    return [{ dtype: x(0).dtype, dims: [b, attrs.int('num_heads'), s, s] }];
  },
  decompose: (c) => {
    const { op, x, attrs } = c;
    refuseInput(c, 6, 'token_offset', 'Optimise the model again without packing away the padding.');
    const query = splitHeads(op, op.add2(x(0), x(1)), attrs.int('num_heads')); // [B, N, S, H]
    const gates = op.add2(op.matmul(query, x(3)), x(4)); // [B, N, S, D]
    const [b, n, s, d] = gates.dims as [number, number, number, number];
    const sums = op.sigmoid(op.reduceSum(op.reshape(gates, [b, n, s, 2, d / 2]), [4], false));
    const [u, r] = op.split(sums, 3, [1, 1]) as [Value, Value];
    const gate = op.addScalar(op.mul(u, op.addScalar(op.mul(r, x(5)), -1)), 2);
    return [op.mul(gate, x(2))];
  },
});

export const positionBiasOps: readonly OpDefinition[] = [relativePositionBias, gatedRelativePositionBias];
