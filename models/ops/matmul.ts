import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import { numel } from '#models/tensor/tensor.ts';
import { broadcastDims, defineOp, type InferContext } from './define.ts';

function matmulDims(c: InferContext): number[] {
  const a = c.x(0).dims;
  const b = c.x(1).dims;
  const [a2, b2] = [a.length === 1 ? [1, ...a] : a, b.length === 1 ? [...b, 1] : b];
  if (a2.at(-1) !== b2.at(-2)) {
    throw new NorthlightError(
      'onnx/shape',
      `MatMul "${c.node.name}": inner sizes of [${a.join(', ')}] and [${b.join(', ')}] differ.`,
    );
  }
  const batch = broadcastDims([a2.slice(0, -2), b2.slice(0, -2)]);
  return [...batch, ...(a.length === 1 ? [] : [a2.at(-2)!]), ...(b.length === 1 ? [] : [b2.at(-1)!])];
}

/**
 * dA = dY·Bᵀ, dB = Aᵀ·dY. With a two-dimensional B (a weight) the batch axes of A are folded into rows, so that dB is one
 * Gemm instead of a batched product that is summed afterwards.
 */
export const matmul = defineOp({
  opType: 'MatMul',
  sinceVersion: 13,
  infer: (c) => [{ dtype: c.x(0).dtype, dims: matmulDims(c) }],
  grad: ({ op, x, dy, needs }) => {
    let a = x(0);
    let b = x(1);
    let g = dy;
    if (a.dims.length === 1) {
      a = op.reshape(a, [1, ...a.dims]);
      g = op.reshape(g, b.dims.length === 1 ? [1] : [...g.dims.slice(0, -1), 1, g.dims.at(-1)!]);
    }
    if (b.dims.length === 1) {
      b = op.reshape(b, [...b.dims, 1]);
      g = op.reshape(g, [...g.dims, 1]);
    }
    const k = a.dims.at(-1)!;
    const n = b.dims.at(-1)!;
    const shape = (v: Value, dims: readonly number[]) => (numel(v.dims) === numel(dims) ? op.reshape(v, dims) : v);
    let da: Value | null = null;
    let db: Value | null = null;
    if (b.dims.length === 2) {
      const rows = numel(a.dims) / k;
      const g2 = op.reshape(g, [rows, n]);
      if (needs(0)) da = shape(op.gemm(g2, b, null, { transB: true }), x(0).dims);
      if (needs(1)) db = shape(op.gemm(op.reshape(a, [rows, k]), g2, null, { transA: true }), x(1).dims);
    } else {
      if (needs(0)) da = shape(op.matmul(g, op.transposeLast(b)), x(0).dims);
      if (needs(1)) db = shape(op.matmul(op.transposeLast(a), g), x(1).dims);
    }
    return [da, db];
  },
});

/** Y = α·A'·B' + β·C. */
export const gemm = defineOp({
  opType: 'Gemm',
  sinceVersion: 13,
  infer: ({ x, attrs }) => {
    const m = x(0).dims[attrs.int('transA', 0) ? 1 : 0]!;
    const n = x(1).dims[attrs.int('transB', 0) ? 0 : 1]!;
    return [{ dtype: x(0).dtype, dims: [m, n] }];
  },
  grad: ({ op, x, attrs, dy, inputs, needs }) => {
    const transA = attrs.int('transA', 0) === 1;
    const transB = attrs.int('transB', 0) === 1;
    const alpha = attrs.float('alpha', 1);
    const g = op.mulScalar(dy, alpha);
    const da = () =>
      transA ? op.gemm(x(1), g, null, { transA: transB, transB: true }) : op.gemm(g, x(1), null, { transB: !transB });
    const db = () =>
      transB ? op.gemm(g, x(0), null, { transA: true, transB: transA }) : op.gemm(x(0), g, null, { transA: !transA });
    return [
      needs(0) ? da() : null,
      needs(1) ? db() : null,
      ...(inputs[2] ? [needs(2) ? op.mulScalar(dy, attrs.float('beta', 1)) : null] : []),
    ];
  },
});
