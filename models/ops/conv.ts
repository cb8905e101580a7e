import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { numel } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, type NodeAttributes } from './define.ts';

export interface Geometry {
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
  /** Before and after, per spatial axis. */
  padBegin: readonly number[];
  padEnd: readonly number[];
  group: number;
}

/** Reads strides, dilations, group and padding (`auto_pad` resolved) of a convolution or pooling over `spatial` sizes. */
export function geometry(attrs: NodeAttributes, kernel: readonly number[], spatial: readonly number[]): Geometry {
  const r = kernel.length;
  const strides = attrs.ints('strides', new Array<number>(r).fill(1));
  const dilations = attrs.ints('dilations', new Array<number>(r).fill(1));
  const auto = attrs.str('auto_pad', 'NOTSET');
  let pads = attrs.ints('pads', new Array<number>(2 * r).fill(0));
  if (auto === 'VALID') pads = new Array<number>(2 * r).fill(0);
  if (auto.startsWith('SAME')) {
    const total = spatial.map((n, i) =>
      Math.max(0, (Math.ceil(n / strides[i]!) - 1) * strides[i]! + dilations[i]! * (kernel[i]! - 1) + 1 - n),
    );
    const begin = total.map((t) => (auto === 'SAME_UPPER' ? Math.floor(t / 2) : Math.ceil(t / 2)));
    pads = [...begin, ...total.map((t, i) => t - begin[i]!)];
  }
  return {
    kernel,
    strides,
    dilations,
    padBegin: pads.slice(0, r),
    padEnd: pads.slice(r),
    group: attrs.int('group', 1),
  };
}

export const outputSize = (n: number, i: number, g: Geometry, ceil = false): number =>
  (ceil ? Math.ceil : Math.floor)(
    (n + g.padBegin[i]! + g.padEnd[i]! - g.dilations[i]! * (g.kernel[i]! - 1) - 1) / g.strides[i]!,
  ) + 1;

const convGeometry = (c: InferContext): Geometry => geometry(c.attrs, c.x(1).dims.slice(2), c.x(0).dims.slice(2));

/** Attributes that say a geometry in full. */
const asAttributes = (g: Geometry) => ({
  kernel_shape: g.kernel,
  strides: g.strides,
  dilations: g.dilations,
  pads: [...g.padBegin, ...g.padEnd],
  group: g.group,
});

/**
 * Adjoint of a convolution with respect to its input: ConvTranspose with the output padding that restores the size; for a
 * small ungrouped kernel at stride 1 a plain convolution with the flipped, transposed kernel, which runs about twice as fast.
 * @param dy `[N, M, …]`, @param w `[M, C/group, …kernel]`, @param size spatial sizes of the input.
 */
export function convInputGrad(op: GraphBuilder, dy: Value, w: Value, size: readonly number[], g: Geometry): Value {
  // Turning a kernel costs about as much per weight as spreading columns does per column: large pictures gain by it.
  const cheap = numel(w.dims) <= 2 ** 20 || 1.6 * w.dims[0]! <= numel(dy.dims.slice(2));
  const flat = g.strides.every((s) => s === 1) && g.group === 1 && cheap;
  if (flat) {
    const k = adjointKernel(op, w);
    const pads = [g.padBegin, g.padEnd].flatMap((p) => p.map((v, i) => g.dilations[i]! * (g.kernel[i]! - 1) - v));
    if (pads.every((p) => p >= 0)) return op.conv(dy, k, null, { pads, dilations: g.dilations });
  }
  const outputPadding = size.map((n, i) => {
    const natural =
      (dy.dims[2 + i]! - 1) * g.strides[i]! - g.padBegin[i]! - g.padEnd[i]! + g.dilations[i]! * (g.kernel[i]! - 1) + 1;
    return n - natural;
  });
  return op.apply('ConvTranspose', [dy, w], { ...asAttributes(g), output_padding: outputPadding });
}

/** The kernel of the adjoint: `[M, C, …kernel]` → `[C, M, …kernel]` with every spatial axis reversed. Its own inverse. */
export function adjointKernel(op: GraphBuilder, w: Value): Value {
  const axes = w.dims.flatMap((n, i) => (i >= 2 && n > 1 ? [i] : []));
  const k = op.transpose(w, [1, 0, ...w.dims.slice(2).map((_, i) => i + 2)]);
  if (axes.length === 0) return k;
  return op.apply('Slice', [
    k,
    op.i64(axes.map(() => -1)),
    op.i64(axes.map(() => -(2 ** 31))),
    op.i64(axes),
    op.i64(axes.map(() => -1)),
  ]);
}

/**
 * Adjoint of a convolution with respect to its kernel: one matrix product over all positions of all samples. At stride 1
 * in two dimensions the columns are shared between kernel rows ({@link rowStackedWeightGrad}); otherwise im2col.
 * @param x `[N, C, …]`, @param dy `[N, M, …]`; returns `[M, C/group, …kernel]`.
 */
export function convWeightGrad(op: GraphBuilder, x: Value, dy: Value, g: Geometry): Value {
  const [c, m] = [x.dims[1]!, dy.dims[1]!];
  const stride1 = g.strides.every((s) => s === 1) && g.group === 1;
  const positions = numel(dy.dims.slice(2));
  if (stride1 && numel(g.kernel) === 1 && positions === numel(x.dims.slice(2)) && 2 * m * c <= positions * (m + c)) {
    return pointwiseWeightGrad(op, x, dy, g);
  }
  // Columns copy kh·kw·C activations, stacked rows kw·C + kh·M.
  const rows = g.kernel.length === 2 && stride1 && numel(g.kernel) > 1;
  const [kh, kw] = g.kernel as [number, number];
  return rows && kh * kw * c > kw * c + kh * m ? rowStackedWeightGrad(op, x, dy, g) : columnWeightGrad(op, x, dy, g);
}

/** A 1×1 kernel: one product per sample, summed, which needs no other layout. Cheap while products are smaller than samples. */
function pointwiseWeightGrad(op: GraphBuilder, x: Value, dy: Value, g: Geometry): Value {
  const flat = (v: Value) => op.reshape(v, [v.dims[0]!, v.dims[1]!, numel(v.dims.slice(2))]);
  const dw = op.reduceSum(op.matmul(flat(dy), op.transposeLast(flat(x))), [0], false);
  return op.reshape(dw, [dy.dims[1]!, x.dims[1]!, ...g.kernel]);
}

/**
 * dW[m, c, i, j] = Σ_p dy[m, p − i rows] · x[c, p + j columns]: x is laid out kw times, each shifted by one column; dy kh
 * times, each shifted by one row; the product of the two stacks is every tap at once. Against im2col it copies
 * (kw + kh) instead of 2·kh·kw activations, for (H + kh − 1)/H times the arithmetic.
 */
function rowStackedWeightGrad(op: GraphBuilder, x: Value, dy: Value, g: Geometry): Value {
  const [n, c, h] = x.dims as [number, number, number, number];
  const [, m, ho, wo] = dy.dims as [number, number, number, number];
  const [kh, kw] = g.kernel as [number, number];
  const [dh, dw] = g.dilations as [number, number];
  const w = x.dims[3]!;
  const tall = ho + (kh - 1) * dh;
  const positions = tall * n * wo;
  // [C, H, N, W]: rows outermost, so that a shift by one row keeps every sample in place.
  const layout = (v: Value) => op.transpose(v, [1, 2, 0, 3]);
  const shifted = (v: Value, top: number, left: number, height: number, width: number) =>
    op.pad(v, [0, top, 0, left, 0, height - v.dims[1]! - top, 0, width - v.dims[3]! - left]);
  const xt = layout(x);
  const dyt = layout(dy);
  if (xt.dims[1] !== h || xt.dims[3] !== w)
    throw new NorthlightError('onnx/shape', 'A convolution gradient lost its layout.');
  const xs = Array.from({ length: kw }, (_, j) =>
    op.reshape(shifted(xt, g.padBegin[0]!, g.padBegin[1]! - j * dw, tall, wo), [c, positions]),
  );
  const dys = Array.from({ length: kh }, (_, i) => op.reshape(shifted(dyt, i * dh, 0, tall, wo), [m, positions]));
  const product = op.gemm(op.concat(dys, 0), op.concat(xs, 0), null, { transB: true });
  // [kh, M, kw, C] → [M, C, kh, kw]
  return op.transpose(op.reshape(product, [kh, m, kw, c]), [1, 3, 0, 2]);
}

function columnWeightGrad(op: GraphBuilder, x: Value, dy: Value, g: Geometry): Value {
  const [n, c] = [x.dims[0]!, x.dims[1]!];
  const m = dy.dims[1]!;
  const out = dy.dims.slice(2);
  const positions = n * numel(out);
  const spatialAxes = g.kernel.map((_, i) => i + 2);
  const swap = (v: Value) => op.transpose(v, [1, 0, ...spatialAxes]);
  // [C, N, padded spatial]
  const xt = op.pad(swap(x), [0, 0, ...g.padBegin, 0, 0, ...g.padEnd]);
  const offsets = cartesian(g.kernel);
  const columns = offsets.map((offset) => {
    const starts = offset.map((o, i) => o * g.dilations[i]!);
    const ends = starts.map((s, i) => s + (out[i]! - 1) * g.strides[i]! + 1);
    const whole = starts.every((s, i) => s === 0 && ends[i] === xt.dims[2 + i]) && g.strides.every((s) => s === 1);
    return whole ? xt : op.apply('Slice', [xt, op.i64(starts), op.i64(ends), op.i64(spatialAxes), op.i64(g.strides)]);
  });
  const dyt = swap(dy);
  if (g.group === 1) {
    // [k²·C, positions] and [M, positions]
    const cols = op.reshape(op.concat(columns, 0), [offsets.length * c, positions]);
    const dw = op.gemm(op.reshape(dyt, [m, positions]), cols, null, { transB: true });
    if (offsets.length === 1) return op.reshape(dw, [m, c, ...g.kernel]);
    const folded = op.reshape(dw, [m, offsets.length, c]);
    return op.reshape(op.transpose(folded, [0, 2, 1]), [m, c, ...g.kernel]);
  }
  const cg = c / g.group;
  const cols = op.concat(
    columns.map((v) => op.reshape(v, [g.group, 1, cg, positions])),
    1,
  );
  const dyg = op.reshape(dyt, [g.group, m / g.group, positions]);
  const dw = op.matmul(dyg, op.transposeLast(op.reshape(cols, [g.group, offsets.length * cg, positions])));
  const folded = op.reshape(dw, [g.group, m / g.group, offsets.length, cg]);
  return op.reshape(op.transpose(folded, [0, 1, 3, 2]), [m, cg, ...g.kernel]);
}

export function cartesian(sizes: readonly number[]): number[][] {
  return sizes.reduce<number[][]>(
    (rows, n) => rows.flatMap((r) => Array.from({ length: n }, (_, i) => [...r, i])),
    [[]],
  );
}

const sumToChannels = (op: GraphBuilder, dy: Value): Value =>
  op.reduceSum(dy, [0, ...dy.dims.slice(2).map((_, i) => i + 2)], false);

/** ONNX `Conv`, 1D to 3D, groups, strides, dilations. x `[N, C, …]`, w `[M, C/group, …]`, b `[M]`. */
export const conv = defineOp({
  opType: 'Conv',
  sinceVersion: 11,
  infer: (c) => {
    const g = convGeometry(c);
    const [n, channels, ...spatial] = c.x(0).dims;
    if (channels !== c.x(1).dims[1]! * g.group) {
      throw new NorthlightError(
        'onnx/shape',
        `Conv "${c.node.name}": ${channels} input channels, but the kernel is [${c.x(1).dims.join(', ')}] with ${g.group} group(s).`,
      );
    }
    return [{ dtype: c.x(0).dtype, dims: [n!, c.x(1).dims[0]!, ...spatial.map((s, i) => outputSize(s, i, g))] }];
  },
  grad: (c) => {
    const { op, x, dy, inputs, needs } = c;
    const g = convGeometry(c);
    return [
      needs(0) ? convInputGrad(op, dy, x(1), x(0).dims.slice(2), g) : null,
      needs(1) ? convWeightGrad(op, x(0), dy, g) : null,
      ...(inputs[2] ? [needs(2) ? sumToChannels(op, dy) : null] : []),
    ];
  },
});

/**
 * Geometry and output sizes of a transposed convolution. `output_shape` and `auto_pad` decide the padding: what the natural
 * size exceeds the wanted one by is cut, the larger half at the beginning for SAME_LOWER and at the end for SAME_UPPER.
 */
function transposeGeometry(c: InferContext): { g: Geometry; out: number[] } {
  const kernel = c.x(1).dims.slice(2);
  const spatial = c.x(0).dims.slice(2);
  const auto = c.attrs.str('auto_pad', 'NOTSET');
  const zeros = kernel.map(() => 0);
  const explicit = geometry(c.attrs, kernel, spatial);
  const padded = auto === 'NOTSET' ? explicit : { ...explicit, padBegin: zeros, padEnd: zeros };
  const extra = c.attrs.ints('output_padding', zeros);
  const natural = spatial.map(
    (n, i) => (n - 1) * padded.strides[i]! + padded.dilations[i]! * (kernel[i]! - 1) + 1 + extra[i]!,
  );
  const asked = c.attrs.ints('output_shape', []);
  const same = auto.startsWith('SAME');
  if (asked.length === 0 && !same) {
    return { g: padded, out: natural.map((n, i) => n - padded.padBegin[i]! - padded.padEnd[i]!) };
  }
  const wanted = asked.length > 0 ? asked.slice(-kernel.length) : spatial.map((n, i) => n * padded.strides[i]!);
  const total = natural.map((n, i) => Math.max(0, n - wanted[i]!));
  const padBegin = total.map((t) => (auto === 'SAME_UPPER' ? Math.floor(t / 2) : t - Math.floor(t / 2)));
  // With a kernel smaller than the stride the natural size is the smaller, and the runtime leaves it.
  const out = asked.length > 0 ? [...wanted] : natural.map((n, i) => n - total[i]!);
  return { g: { ...padded, padBegin, padEnd: total.map((t, i) => t - padBegin[i]!) }, out };
}

/** ONNX `ConvTranspose`. x `[N, C, …]`, w `[C, M/group, …]`. The adjoint of a convolution, so its gradients are convolutions. */
export const convTranspose = defineOp({
  opType: 'ConvTranspose',
  sinceVersion: 11,
  infer: (c) => {
    const { g, out } = transposeGeometry(c);
    return [{ dtype: c.x(0).dtype, dims: [c.x(0).dims[0]!, c.x(1).dims[1]! * g.group, ...out] }];
  },
  grad: (c) => {
    const { op, x, dy, inputs, needs } = c;
    const { g } = transposeGeometry(c);
    return [
      needs(0) ? op.apply('Conv', [dy, x(1)], asAttributes(g)) : null,
      needs(1) ? convWeightGrad(op, dy, x(0), g) : null,
      ...(inputs[2] ? [needs(2) ? sumToChannels(op, dy) : null] : []),
    ];
  },
});
