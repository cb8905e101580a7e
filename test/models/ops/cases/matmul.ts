import { float } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

const product = (a: readonly number[], b: readonly number[]): GradientCase => ({
  title: `MatMul of [${a}] and [${b}]`,
  inputs: { a, b },
  linear: true,
  build: (op, x, y) => op.matmul(x!, y!),
});

const gemm = (
  transA: number,
  transB: number,
  c: readonly number[] | null,
  alpha: number,
  beta: number,
): GradientCase => ({
  title: `Gemm ${transA ? "A'" : 'A'}·${transB ? "B'" : 'B'}${c ? ` + [${c}]` : ''}, α ${alpha}, β ${beta}`,
  inputs: { a: transA ? [4, 2] : [2, 4], b: transB ? [3, 4] : [4, 3], ...(c ? { c } : {}) },
  linear: true,
  build: (op, x, y, z) =>
    op.apply('Gemm', z ? [x!, y!, z] : [x!, y!], { transA, transB, alpha: float(alpha), beta: float(beta) }),
});

export const matmulCases: readonly GradientCase[] = [
  product([2, 3], [3, 4]),
  product([2, 5, 3], [3, 4]),
  product([2, 2, 5, 3], [3, 4]),
  product([2, 3], [5, 3, 4]),
  product([2, 1, 2, 3], [5, 3, 4]),
  product([2, 5, 2, 3], [2, 5, 3, 4]),
  product([1, 2, 3], [4, 3, 2]),
  product([4, 2, 3], [1, 3, 2]),
  product([3], [3]),
  product([3], [3, 4]),
  product([2, 3], [3]),
  product([3], [2, 3, 4]),
  product([2, 5, 3], [3]),
  product([1, 1], [1, 1]),
  gemm(0, 0, null, 1, 1),
  gemm(0, 0, [3], 0.5, 2),
  gemm(1, 0, [2, 3], 2, 0.5),
  gemm(0, 1, [2, 1], 1, 1),
  gemm(1, 1, [1], -1, 3),
  gemm(1, 1, [], 1, 1),
  gemm(0, 0, [1, 3], 1, 1),
];
