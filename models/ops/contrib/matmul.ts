import type { Value } from '#models/onnx/builder.ts';
import { float } from '#models/onnx/ir.ts';
import { broadcastDims, type InferContext, type OpDefinition } from '#models/ops/define.ts';
import { activate, geluTanh } from './activate.ts';
import { contribOp, type Decompose, refuse } from './contrib-op.ts';

/**
 * The order of axes in which a factor enters: its first axis behind the other batch axes (transBatch), the last two swapped
 * (trans). One-dimensional factors are never turned.
 */
function permOf(c: InferContext, side: 'A' | 'B', rank: number): number[] {
  const perm = [...Array(rank).keys()];
  if (rank < 2) return perm;
  if (rank > 2 && c.attrs.int(`transBatch${side}`, 0) === 1) perm.splice(rank - 2, 0, perm.shift()!);
  if (c.attrs.int(`trans${side}`, 0) === 1) perm.push(...perm.splice(-2).reverse());
  return perm;
}

function productDims(c: InferContext): number[] {
  const dims = (i: 0 | 1, side: 'A' | 'B') => permOf(c, side, c.x(i).dims.length).map((p) => c.x(i).dims[p]!);
  const [a, b] = [dims(0, 'A'), dims(1, 'B')];
  const batch = broadcastDims([a.slice(0, -2), b.slice(0, -2)]);
  return [...batch, ...(a.length === 1 ? [] : [a.at(-2)!]), ...(b.length === 1 ? [] : [b.at(-1)!])];
}

const productShape = (c: InferContext) => [{ dtype: c.x(0).dtype, dims: productDims(c) }];

/** alpha · A' · B'. */
function product(c: Decompose): Value {
  const { op, x, attrs } = c;
  const a = op.transpose(x(0), permOf(c, 'A', x(0).dims.length));
  const b = op.transpose(x(1), permOf(c, 'B', x(1).dims.length));
  return op.mulScalar(op.matmul(a, b), attrs.float('alpha', 1));
}

/** `activation_alpha`, `_beta`, `_gamma`, as far as they are given. */
function activationParams(c: InferContext): number[] {
  const names = ['activation_alpha', 'activation_beta', 'activation_gamma'];
  return names.flatMap((n) => (c.attrs.has(n) ? [c.attrs.float(n)] : []));
}

export const matmulOps: readonly OpDefinition[] = [
  ...['FusedMatMul', 'TransposeMatMul'].map((opType) =>
    contribOp({ opType, infer: productShape, decompose: (c) => [product(c)] }),
  ),
  contribOp({
    opType: 'FusedMatMulActivation',
    infer: productShape,
    decompose: (c) => {
      const name = c.attrs.str('activation');
      const y = product(c);
      if (name === 'Softmax') return [c.op.softmax(y, c.attrs.int('activation_axis', -1))];
      return [activate(c, name, y, activationParams(c))];
    },
  }),
  /** activation(alpha·A'·B' + beta·C). */
  contribOp({
    opType: 'FusedGemm',
    infer: ({ x, attrs }) => [
      {
        dtype: x(0).dtype,
        dims: [x(0).dims[attrs.int('transA', 0) ? 1 : 0]!, x(1).dims[attrs.int('transB', 0) ? 0 : 1]!],
      },
    ],
    decompose: (c) => {
      const { op, x, inputs, attrs } = c;
      if (x(0).dims.length !== 2) refuse(c, 'multiplies more than matrices', 'Export the model again.');
      const y = op.apply('Gemm', inputs[2] ? [x(0), x(1), inputs[2]] : [x(0), x(1)], {
        alpha: float(attrs.float('alpha', 1)),
        beta: float(attrs.float('beta', 1)),
        transA: attrs.int('transA', 0),
        transB: attrs.int('transB', 0),
      });
      return [activate(c, attrs.str('activation', ''), y, activationParams(c))];
    },
  }),
  /** FastGelu(X·W + bias). */
  contribOp({
    opType: 'GemmFastGelu',
    infer: productShape,
    decompose: (c) => {
      const y = c.op.matmul(c.x(0), c.x(1));
      return [geluTanh(c, c.inputs[2] ? c.op.add2(y, c.inputs[2]) : y)];
    },
  }),
];
