import type { Value } from '#models/onnx/builder.ts';
import { fromNumbers, numel } from '#models/tensor/tensor.ts';
import { geometry, outputSize } from './conv.ts';
import { defineOp, type InferContext } from './define.ts';

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
  grad: ({ op, x, dy, outputs }) => {
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

export const scatterElements = defineOp({ opType: 'ScatterElements', sinceVersion: 18, infer: ({ x }) => [x(0)] });

/** The adjoint of averaging: dy divided by each window's count, spread by a one-channel transposed convolution of ones. */
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
    const single: Value = op.reshape(weighted, [dy.dims[0]! * dy.dims[1]!, 1, ...out]);
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
    return [op.reshape(spread, x(0).dims)];
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
