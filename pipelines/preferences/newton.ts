/** One dense symmetric positive block, its right-hand side, and its column beside the shared corner. */
export interface Block {
  /** `[n, n]` row-major. */
  readonly hessian: Float64Array;
  readonly border: Float64Array;
  readonly gradient: Float64Array;
}

/**
 * Solves `[[diag(H_1 … H_k), B], [Bᵀ, corner]]·step = gradient` through the Schur complement of the corner, and gives the
 * inverse matrix on demand. Groups of items that were never compared with each other share nothing but the corner, so many
 * small prompts cost the sum of their cubes and not the cube of their sum.
 */
export function solveBordered(blocks: readonly Block[], corner: number, cornerGradient: number) {
  const factors = blocks.map((b) => cholesky(b.hessian, b.gradient.length));
  const direct = blocks.map((b, k) => solve(factors[k]!, b.gradient));
  const pulls = blocks.map((b, k) => solve(factors[k]!, b.border));
  let schur = corner;
  let rest = cornerGradient;
  for (const [k, block] of blocks.entries()) {
    schur -= dot(block.border, pulls[k]!);
    rest -= dot(block.border, direct[k]!);
  }
  const cornerStep = rest / schur;
  const inverses = new Map<number, Float64Array[]>();
  const inverseOf = (block: number): Float64Array[] => {
    const known = inverses.get(block);
    if (known !== undefined) return known;
    const n = blocks[block]!.gradient.length;
    const columns = Array.from({ length: n }, (_, i) => {
      const unit = new Float64Array(n);
      unit[i] = 1;
      return solve(factors[block]!, unit);
    });
    inverses.set(block, columns);
    return columns;
  };
  return {
    steps: direct.map((d, k) => d.map((v, i) => v - pulls[k]![i]! * cornerStep)),
    cornerStep,
    cornerVariance: 1 / schur,
    /** Entry of the inverse for place i of block a and place j of block b. */
    covariance(a: number, i: number, b: number, j: number): number {
      const shared = (pulls[a]![i]! * pulls[b]![j]!) / schur;
      return a === b ? inverseOf(a)[j]![i]! + shared : shared;
    },
  };
}

/** Lower factor L of H = L·Lᵀ, `[n, n]` row-major. */
function cholesky(h: Float64Array, n: number): Float64Array {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = h[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      l[i * n + j] = i === j ? Math.sqrt(sum) : sum / l[j * n + j]!;
    }
  }
  return l;
}

function solve(l: Float64Array, rhs: Float64Array): Float64Array {
  const n = rhs.length;
  const x = rhs.slice();
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= l[i * n + k]! * x[k]!;
    x[i]! /= l[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= l[k * n + i]! * x[k]!;
    x[i]! /= l[i * n + i]!;
  }
  return x;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
