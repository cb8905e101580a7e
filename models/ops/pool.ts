import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { fromNumbers, numel } from '#models/tensor/tensor.ts';
import { type Geometry, geometry, outputSize } from './conv.ts';
import { defineOp, type InferContext } from './define.ts';
import { knownInts } from './shape.ts';

function pooled(c: InferContext) {
  const spatial = c.x(0).dims.slice(2);
  const g = geometry(c.attrs, c.attrs.ints('kernel_shape'), spatial);
  const ceil = c.attrs.int('ceil_mode', 0) === 1;
  const out = spatial.map((n, i) => {
    const size = outputSize(n, i, g, ceil);
    // A window that would start in the end padding does not count.
    return ceil && (size - 1) * g.strides[i]! >= n + g.padBegin[i]! ? size - 1 : size;
  });
  return { g, out, dims: [...c.x(0).dims.slice(0, 2), ...out] };
}

/** The gradient goes to the element each window took, by its flat index; overlapping windows add up. */
export const maxPool = defineOp({
  opType: 'MaxPool',
  sinceVersion: 12,
  gradOutputs: 2,
  infer: (c) => {
    const { dims } = pooled(c);
    return [
      { dtype: c.x(0).dtype, dims },
      { dtype: 'int64', dims },
    ];
  },
  grad: ({ op, x, dy, outputs, attrs, node }) => {
    if (attrs.int('storage_order', 0) === 1 && x(0).dims.length > 3) {
      throw new NorthlightError(
        'grad/unsupported',
        `No gradient for MaxPool with column-major indices at node "${node.name}".`,
        'Freeze the parameters upstream of it, or export it with storage_order 0.',
      );
    }
    const n = numel(x(0).dims);
    const zeros = op.expand(op.scalar(0, dy.dtype), [n]);
    const count = numel(dy.dims);
    const flat = op.apply('ScatterElements', [zeros, op.reshape(outputs[1]!, [count]), op.reshape(dy, [count])], {
      axis: 0,
      reduction: 'add',
    });
    return [op.reshape(flat, x(0).dims)];
  },
});

/** The adjoint of averaging: dy divided by each window's count, spread over the window. */
export const averagePool = defineOp({
  opType: 'AveragePool',
  sinceVersion: 19,
  infer: (c) => [{ dtype: c.x(0).dtype, dims: pooled(c).dims }],
  grad: (c) => {
    const { op, x, dy, attrs } = c;
    const { g, out } = pooled(c);
    const size = x(0).dims.slice(2);
    const countPad = attrs.int('count_include_pad', 0) === 1;
    // Elements under each window along one axis; the count of a window is the product over axes.
    const along = out.map((m, i) =>
      Array.from({ length: m }, (_, o) => {
        const start = o * g.strides[i]! - g.padBegin[i]!;
        const lo = countPad ? -g.padBegin[i]! : 0;
        const hi = countPad ? size[i]! + g.padEnd[i]! : size[i]!;
        let k = 0;
        for (let j = 0; j < g.kernel[i]!; j++) {
          const at = start + j * g.dilations[i]!;
          if (at >= lo && at < hi) k++;
        }
        return k;
      }),
    );
    const inverse = along
      .reduce<number[]>((acc, row) => acc.flatMap((a) => row.map((b) => a * b)), [1])
      .map((v) => 1 / v);
    const weighted = op.mul(dy, op.constant(fromNumbers(dy.dtype, [1, 1, ...out], inverse)));
    return [spreadWindows(op, weighted, g, x(0).dims)];
  },
});

/**
 * The adjoint of summing each window: every element of dy is added to all elements under its window, by a one-channel
 * transposed convolution of ones.
 */
function spreadWindows(op: GraphBuilder, dy: Value, g: Geometry, dims: readonly number[]): Value {
  const size = dims.slice(2);
  const out = dy.dims.slice(2);
  const single: Value = op.reshape(dy, [dy.dims[0]! * dy.dims[1]!, 1, ...out]);
  const ones = op.constant(fromNumbers(dy.dtype, [1, 1, ...g.kernel], new Array<number>(numel(g.kernel)).fill(1)));
  const full = size.map((n, i) => n + g.padBegin[i]! + g.padEnd[i]!);
  const natural = out.map((m, i) => (m - 1) * g.strides[i]! + g.dilations[i]! * (g.kernel[i]! - 1) + 1);
  // Rows that no window reaches (or that only ceil mode reaches) are added as zeros or cut away.
  let spread = op.apply('ConvTranspose', [single, ones], {
    kernel_shape: g.kernel,
    strides: g.strides,
    dilations: g.dilations,
  });
  const after = full.map((f, i) => Math.max(0, f - natural[i]!));
  spread = op.pad(spread, [0, 0, ...after.map(() => 0), 0, 0, ...after]);
  size.forEach((n, i) => {
    if (spread.dims[2 + i] !== n) spread = op.slice(spread, 2 + i, g.padBegin[i]!, g.padBegin[i]! + n);
  });
  return op.reshape(spread, dims);
}

/** |x|^(p−1)·sign x and y^(1−p), of which the gradient of a p-norm is made; a window of zeros gives none. */
function normParts(op: GraphBuilder, x: Value, y: Value, p: number): readonly [ofX: Value, ofY: Value] {
  const zero = op.scalar(0, x.dtype);
  const isZero = op.apply('Equal', [y, zero]);
  const power = (v: Value, e: number) => (e === 1 ? v : op.apply('Pow', [v, op.scalar(e, x.dtype)]));
  if (p === 1) return [op.apply('Sign', [x]), op.cast(op.apply('Not', [isZero]), x.dtype)];
  const ofX = p === 2 ? x : op.mul(op.apply('Sign', [x]), power(op.apply('Abs', [x]), p - 1));
  const safe = op.where(isZero, op.scalar(1, x.dtype), y);
  return [ofX, op.where(isZero, zero, p === 2 ? op.apply('Reciprocal', [safe]) : power(safe, 1 - p))];
}

/** (Σ |x|^p)^(1/p) over each window: dx = sign(x)·|x|^(p−1) times the spread dy·y^(1−p). */
export const lpPool = defineOp({
  opType: 'LpPool',
  sinceVersion: 18,
  infer: (c) => [{ dtype: c.x(0).dtype, dims: pooled(c).dims }],
  grad: (c) => {
    const { op, x, y, dy, attrs } = c;
    const [ofX, ofY] = normParts(op, x(0), y, attrs.int('p', 2));
    return [op.mul(ofX, spreadWindows(op, op.mul(dy, ofY), pooled(c).g, x(0).dims))];
  },
});

export const globalLpPool = defineOp({
  opType: 'GlobalLpPool',
  sinceVersion: 2,
  infer: (c) => globalDims(c),
  grad: ({ op, x, y, dy, attrs }) => {
    const [ofX, ofY] = normParts(op, x(0), y, attrs.int('p', 2));
    return [op.mul(ofX, op.mul(dy, ofY))];
  },
});

/** Puts each element where a MaxPool found it, among zeros. */
export const maxUnpool = defineOp({
  opType: 'MaxUnpool',
  sinceVersion: 11,
  infer: (c) => {
    const { dims, dtype } = c.x(0);
    if (c.inputs[2]) return [{ dtype, dims: knownInts(c, 2) }];
    const kernel = c.attrs.ints('kernel_shape');
    const g = geometry(c.attrs, kernel, dims.slice(2));
    const out = dims.slice(2).map((n, i) => (n - 1) * g.strides[i]! - g.padBegin[i]! - g.padEnd[i]! + kernel[i]!);
    return [{ dtype, dims: [...dims.slice(0, 2), ...out] }];
  },
  grad: ({ op, x, inputs, dy }) => {
    const flat = op.reshape(dy, [numel(dy.dims)]);
    return [op.gather(flat, x(1), 0), ...inputs.slice(1).map(() => null)];
  },
});

const globalDims = (c: InferContext) => [
  {
    dtype: c.x(0).dtype,
    dims: [
      ...c.x(0).dims.slice(0, 2),
      ...c
        .x(0)
        .dims.slice(2)
        .map(() => 1),
    ],
  },
];

export const globalAveragePool = defineOp({
  opType: 'GlobalAveragePool',
  sinceVersion: 1,
  infer: globalDims,
  grad: ({ op, x, dy }) => [op.expand(op.mulScalar(dy, 1 / numel(x(0).dims.slice(2))), x(0).dims)],
});

/** Equal share among ties. */
export const globalMaxPool = defineOp({
  opType: 'GlobalMaxPool',
  sinceVersion: 1,
  infer: globalDims,
  grad: ({ op, x, y, dy }) => {
    const mask = op.cast(op.apply('Equal', [x(0), y]), dy.dtype);
    return [
      op.mul(
        mask,
        op.div(
          dy,
          op.reduceSum(
            mask,
            x(0)
              .dims.slice(2)
              .map((_, i) => i + 2),
          ),
        ),
      ),
    ];
  },
});
