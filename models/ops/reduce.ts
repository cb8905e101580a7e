import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { fromNumbers, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import {
  defineOp,
  type GradContext,
  type InferContext,
  type NodeAttributes,
  normalizeAxis,
  type OpDefinition,
} from './define.ts';
import { knownInts } from './shape.ts';

const axesOf = (c: InferContext) => reducedAxes(c.x(0).dims.length, c.inputs[1] ? knownInts(c, 1) : [], c.attrs);

function reducedAxes(rank: number, given: readonly number[], attrs: NodeAttributes): number[] {
  if (given.length > 0) return given.map((a) => normalizeAxis(a, rank));
  return attrs.int('noop_with_empty_axes', 0) === 1 ? [] : [...Array(rank).keys()];
}

const keptDims = (c: InferContext) => {
  const axes = new Set(axesOf(c));
  return c.x(0).dims.map((d, i) => (axes.has(i) ? 1 : d));
};

/** A reduction; `grad` gets dy and y with the reduced axes kept at size 1, and how many elements each sum covers. */
const reduction = (
  opType: string,
  grad: (c: GradContext, dy: Value, y: Value, count: number) => Value,
  fold?: (values: number[]) => number,
): OpDefinition =>
  defineOp({
    opType,
    sinceVersion: 18,
    infer: (c) => {
      const axes = new Set(axesOf(c));
      const keep = c.attrs.int('keepdims', 1) === 1;
      return [{ dtype: c.x(0).dtype, dims: keep ? keptDims(c) : c.x(0).dims.filter((_, i) => !axes.has(i)) }];
    },
    grad: (c) => {
      const kept = keptDims(c);
      const count = numel(c.x(0).dims) / numel(kept);
      return [grad(c, c.op.reshape(c.dy, kept), c.op.reshape(c.y, kept), count), ...c.inputs.slice(1).map(() => null)];
    },
    ...(fold
      ? {
          fold: ([t, axes], attrs) => [
            foldReduction(t!, reducedAxes(t!.dims.length, axes ? toNumbers(axes) : [], attrs), attrs, fold),
          ],
        }
      : {}),
  });

function foldReduction(
  t: Tensor,
  axes: readonly number[],
  attrs: NodeAttributes,
  fold: (values: number[]) => number,
): Tensor {
  const kept = t.dims.map((d, i) => (axes.includes(i) ? 1 : d));
  const groups = Array.from({ length: numel(kept) }, (): number[] => []);
  toNumbers(t).forEach((v, flat) => {
    let rest = flat;
    let at = 0;
    let stride = 1;
    for (let i = t.dims.length - 1; i >= 0; i--) {
      if (kept[i] !== 1) at += (rest % t.dims[i]!) * stride;
      rest = Math.floor(rest / t.dims[i]!);
      stride *= kept[i]!;
    }
    groups[at]!.push(v);
  });
  const dims = attrs.int('keepdims', 1) === 1 ? kept : t.dims.filter((_, i) => !axes.includes(i));
  return fromNumbers(t.dtype, dims, groups.map(fold));
}

const spread = (op: GraphBuilder, v: Value, like: Value) => op.expand(v, like.dims);

/** Equal share among ties. */
const extremum = (c: GradContext, dy: Value, y: Value) => {
  const { op, x } = c;
  const mask = op.cast(op.apply('Equal', [x(0), y]), dy.dtype);
  const axes = axesOf(c);
  return op.mul(mask, op.div(dy, op.reduceSum(mask, axes)));
};

/** Each factor gets the product of the others, also when some are zero. */
const product = (c: GradContext, dy: Value) => {
  const { op, x } = c;
  const axes = axesOf(c);
  const one = op.scalar(1, dy.dtype);
  const zero = op.scalar(0, dy.dtype);
  const isZero = (v: Value) => op.apply('Equal', [v, zero]);
  const safe = op.where(isZero(x(0)), one, x(0));
  const rest = op.apply('ReduceProd', [safe, op.i64(axes)], { noop_with_empty_axes: 1 });
  const zeros = op.apply('ReduceSum', [op.cast(isZero(x(0)), dy.dtype), op.i64(axes)], { noop_with_empty_axes: 1 });
  const others = op.where(
    isZero(x(0)),
    op.where(op.apply('Equal', [zeros, one]), rest, zero),
    op.where(isZero(zeros), op.div(rest, safe), zero),
  );
  return op.mul(dy, others);
};

export const reductions: readonly OpDefinition[] = [
  reduction(
    'ReduceSum',
    (c, dy) => spread(c.op, dy, c.x(0)),
    (v) => v.reduce((a, b) => a + b, 0),
  ),
  reduction('ReduceMean', (c, dy, _y, count) => spread(c.op, c.op.mulScalar(dy, 1 / count), c.x(0))),
  reduction('ReduceSumSquare', (c, dy) => c.op.mul(c.op.mulScalar(c.x(0), 2), dy)),
  // At the origin, where the norm has a corner, zero.
  reduction('ReduceL2', (c, dy, y) => {
    const zero = c.op.scalar(0, y.dtype);
    const safe = c.op.where(c.op.apply('Equal', [y, zero]), c.op.scalar(1, y.dtype), y);
    return c.op.mul(c.x(0), c.op.div(dy, safe));
  }),
  reduction('ReduceL1', (c, dy) => c.op.mul(c.op.apply('Sign', [c.x(0)]), dy)),
  reduction('ReduceLogSumExp', (c, dy, y) => c.op.mul(c.op.exp(c.op.sub(c.x(0), y)), dy)),
  reduction('ReduceLogSum', (c, dy, y) => spread(c.op, c.op.div(dy, c.op.exp(y)), c.x(0))),
  reduction('ReduceMax', extremum, (v) => Math.max(...v)),
  reduction('ReduceMin', extremum, (v) => Math.min(...v)),
  reduction('ReduceProd', product, (v) => v.reduce((a, b) => a * b, 1)),
];
