import { NorthlightError } from '#models/errors.ts';
import { fromNumbers, i64 } from '#models/tensor/tensor.ts';
import { defineOp } from './define.ts';

/** Above this size, the n²·(n−1)² numbers of all minors are too many (984,064 per matrix at 32). */
const MAX_SIZE = 32;

/**
 * ONNX `Det`: x `[…, n, n]`, y `[…]`. dx = dy · cofactors (Jacobi's formula): the determinants of x without row i and
 * column j, with the signs of a chessboard. Unlike det(x)·x⁻ᵀ this is right where x has no inverse.
 * @throws {NorthlightError} `grad/too-large` for matrices larger than 32 × 32.
 */
export const det = defineOp({
  opType: 'Det',
  sinceVersion: 11,
  infer: ({ node, x }) => {
    const { dtype, dims } = x(0);
    if (dims.length < 2 || dims.at(-1) !== dims.at(-2))
      throw new NorthlightError('onnx/shape', `Det "${node.name}" is of [${dims.join(', ')}], which is not square.`);
    return [{ dtype, dims: dims.slice(0, -2) }];
  },
  grad: ({ node, op, x, dy }) => {
    const { dims, dtype } = x(0);
    const n = dims.at(-1)!;
    const scale = op.reshape(dy, [...dy.dims, 1, 1]);
    if (n === 1) return [scale];
    if (n > MAX_SIZE) {
      throw new NorthlightError(
        'grad/too-large',
        `The gradient of Det at node "${node.name}" is of ${n} × ${n} matrices; at most ${MAX_SIZE} × ${MAX_SIZE} are supported.`,
        'Freeze the parameters upstream of it.',
      );
    }
    const others = Array.from({ length: n }, (_, i) => Array.from({ length: n - 1 }, (_, k) => (k < i ? k : k + 1)));
    const index = op.constant(i64([n, n - 1], others.flat()));
    const r = dims.length;
    const rows = op.gather(x(0), index, r - 2); // [..., i, n−1, n]
    const both = op.gather(rows, index, r); // [..., i, n−1, j, n−1]
    const batch = [...Array(r - 2).keys()];
    const minors = op.apply('Det', [op.transpose(both, [...batch, r - 2, r, r - 1, r + 1])]); // [..., i, j]
    const signs = Array.from({ length: n * n }, (_, k) => ((Math.floor(k / n) + (k % n)) % 2 === 0 ? 1 : -1));
    return [op.mul(scale, op.mul(minors, op.constant(fromNumbers(dtype, [n, n], signs))))];
  },
});
