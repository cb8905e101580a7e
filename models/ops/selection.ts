import { NorthlightError } from '#models/errors.ts';
import { dtypeOf } from '#models/onnx/data-types.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import { fromNumbers, i64, numel, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, type NodeAttributes, normalizeAxis, type OpDefinition } from './define.ts';
import { knownInts } from './shape.ts';

/** The known value of an input whose elements decide a shape. */
function known(c: InferContext, i: number): Tensor {
  knownInts(c, i);
  return c.constant(i)!;
}

/** Coordinates of the elements that are not zero, `[rank, count]`; a scalar counts as a vector of one. */
function nonZero(t: Tensor): Tensor {
  const dims = t.dims.length === 0 ? [1] : t.dims;
  const at = toNumbers(t).flatMap((v, flat) => (v !== 0 ? [flat] : []));
  const rows = dims.map((d, i) => at.map((flat) => Math.floor(flat / numel(dims.slice(i + 1))) % d));
  return i64([dims.length, at.length], rows.flat());
}

/** Distinct slices along an axis (elements when there is none): [values, first place, place of each, count]. */
function unique(t: Tensor, attrs: NodeAttributes): Tensor[] {
  const flat = !attrs.has('axis');
  const dims = flat ? [t.data.length] : t.dims;
  const axis = flat ? 0 : normalizeAxis(attrs.int('axis'), dims.length);
  const values = toNumbers(t);
  const [n, inner] = [dims[axis]!, numel(dims.slice(axis + 1))];
  const outer = numel(dims.slice(0, axis));
  const slices = Array.from({ length: n }, (_, i) =>
    Array.from({ length: outer * inner }, (_v, k) => values[(Math.floor(k / inner) * n + i) * inner + (k % inner)]!),
  );
  const groups = new Map<string, { slice: number[]; first: number; count: number }>();
  slices.forEach((slice, i) => {
    const group = groups.get(slice.join());
    if (group) group.count++;
    else groups.set(slice.join(), { slice, first: i, count: 1 });
  });
  const order = [...groups.values()];
  const bySize = (a: number[], b: number[]) => {
    const k = a.findIndex((v, i) => v !== b[i]);
    return k < 0 ? 0 : a[k]! - b[k]!;
  };
  if (attrs.int('sorted', 1) === 1) order.sort((a, b) => bySize(a.slice, b.slice));
  const kept = dims.map((d, i) => (i === axis ? order.length : d));
  const out = Array.from({ length: outer }, (_, o) =>
    order.flatMap((g) => g.slice.slice(o * inner, (o + 1) * inner)),
  ).flat();
  const place = new Map(order.map((g, i) => [g.slice.join(), i]));
  return [
    fromNumbers(t.dtype, kept, out),
    i64(
      [order.length],
      order.map((g) => g.first),
    ),
    i64(
      [n],
      slices.map((s) => place.get(s.join())!),
    ),
    i64(
      [order.length],
      order.map((g) => g.count),
    ),
  ];
}

const shapeOf = (t: Tensor) => ({ dtype: t.dtype, dims: t.dims });

/** A square-cornered identity: ones on a diagonal. Depends on the shape of its input alone. */
function eye(c: InferContext): Tensor {
  const [rows, columns] = c.x(0).dims as [number, number];
  const dtype = c.attrs.has('dtype') ? dtypeOf(c.attrs.int('dtype')) : c.x(0).dtype;
  if (!dtype) {
    throw new NorthlightError('onnx/dtype', `EyeLike "${c.node.name}" asks for an element type that we cannot hold.`);
  }
  const k = c.attrs.int('k', 0);
  return fromNumbers(
    dtype,
    [rows, columns],
    Array.from({ length: rows * columns }, (_, i) => Number((i % columns) - Math.floor(i / columns) === k)),
  );
}

/** Operators whose output's size depends on values: those must be known when the graph is imported. */
export const selectionOps: readonly OpDefinition[] = [
  defineOp({
    opType: 'NonZero',
    sinceVersion: 13,
    infer: (c) => [shapeOf(nonZero(known(c, 0)))],
    grad: 'none',
    fold: ([t]) => [nonZero(t!)],
  }),
  defineOp({
    opType: 'Unique',
    sinceVersion: 11,
    infer: (c) => unique(known(c, 0), c.attrs).map(shapeOf),
    grad: 'none',
    fold: ([t], attrs) => unique(t!, attrs),
  }),
  // The rows a known mask keeps, as a Gather.
  defineOp({
    opType: 'Compress',
    sinceVersion: 11,
    infer: (c) => {
      const count = knownInts(c, 1).filter((v) => v !== 0).length;
      if (!c.attrs.has('axis')) return [{ dtype: c.x(0).dtype, dims: [count] }];
      const axis = normalizeAxis(c.attrs.int('axis'), c.x(0).dims.length);
      return [{ dtype: c.x(0).dtype, dims: c.x(0).dims.map((d, i) => (i === axis ? count : d)) }];
    },
    decompose: (c) => {
      const { op, x, attrs } = c;
      const kept = knownInts(c, 1).flatMap((v, i) => (v !== 0 ? [i] : []));
      return attrs.has('axis')
        ? [op.gather(x(0), op.i64(kept), attrs.int('axis'))]
        : [op.gather(op.reshape(x(0), [numel(x(0).dims)]), op.i64(kept), 0)];
    },
  }),
  defineOp({
    opType: 'EyeLike',
    sinceVersion: 9,
    infer: (c) => [shapeOf(eye(c))],
    decompose: (c) => [c.op.constant(eye(c))],
  }),
];
