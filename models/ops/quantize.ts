import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { dtypeOf } from '#models/onnx/data-types.ts';
import { type DType, numel } from '#models/tensor/tensor.ts';
import { geometry, outputSize } from './conv.ts';
import {
  broadcastDims,
  defineOp,
  type InferContext,
  type NodeAttributes,
  normalizeAxis,
  type OpDefinition,
} from './define.ts';

/** A scale or zero point stretched to what broadcasts against x: one for all, one per index of an axis, or one per block of it. */
function stretched(op: GraphBuilder, v: Value, x: Value, attrs: NodeAttributes): Value {
  if (numel(v.dims) === 1) return op.reshape(v, []);
  const axis = normalizeAxis(attrs.int('axis', 1), x.dims.length);
  const block = attrs.int('block_size', 0);
  if (block === 0) return op.reshape(v, [v.dims[0]!, ...x.dims.slice(axis + 1).map(() => 1)]);
  const repeated = [...v.dims.slice(0, axis + 1), block, ...v.dims.slice(axis + 1)];
  const split = [...v.dims.slice(0, axis + 1), 1, ...v.dims.slice(axis + 1)];
  const long = v.dims.map((d, i) => (i === axis ? d * block : d));
  const whole = op.reshape(op.expand(op.reshape(v, split), repeated), long);
  return long[axis] === x.dims[axis] ? whole : op.slice(whole, axis, 0, x.dims[axis]!);
}

const zeroPointType = ({ inputs }: InferContext, i: number): DType => inputs[i]?.dtype ?? 'uint8';

/**
 * Quantised arithmetic. A frozen weight that is stored in few bits and dequantised is a weight like any other: gradients
 * flow past it to the activations, and to its scale. Rounding an activation to few bits has a slope of zero nearly
 * everywhere, so a gradient that would have to pass it is refused instead of vanishing in silence.
 */
export const quantizeOps: readonly OpDefinition[] = [
  // y = (x − zero)·scale.
  defineOp({
    opType: 'DequantizeLinear',
    sinceVersion: 21,
    infer: ({ x }) => [{ dtype: x(1).dtype, dims: x(0).dims }],
    grad: ({ op, x, inputs, dy, attrs, needs }) => {
      // A gradient for x is asked for only when x itself was quantised from an activation, which is refused there.
      const scale = stretched(op, x(1), x(0), attrs);
      const dx = needs(0) ? op.mul(dy, scale) : null;
      let ds: Value | null = null;
      if (needs(1)) {
        const steps = op.cast(x(0), dy.dtype);
        const centred = inputs[2] ? op.sub(steps, op.cast(stretched(op, inputs[2], x(0), attrs), dy.dtype)) : steps;
        ds = scaleGrad(op, op.mul(dy, centred), x(1), attrs);
      }
      return [dx, ds, ...inputs.slice(2).map(() => null)];
    },
  }),
  defineOp({
    opType: 'QuantizeLinear',
    sinceVersion: 21,
    infer: (c) => {
      const asked = c.attrs.int('output_dtype', 0);
      return [{ dtype: (asked ? dtypeOf(asked) : undefined) ?? zeroPointType(c, 2), dims: c.x(0).dims }];
    },
  }),
  defineOp({
    opType: 'DynamicQuantizeLinear',
    sinceVersion: 11,
    infer: ({ x }) => [
      { dtype: 'uint8', dims: x(0).dims },
      { dtype: 'float32', dims: [] },
      { dtype: 'uint8', dims: [] },
    ],
  }),
  defineOp({
    opType: 'MatMulInteger',
    sinceVersion: 10,
    infer: ({ x }) => [{ dtype: 'int32', dims: productDims(x(0).dims, x(1).dims) }],
  }),
  defineOp({
    opType: 'QLinearMatMul',
    sinceVersion: 21,
    infer: ({ x }) => [{ dtype: x(7).dtype, dims: productDims(x(0).dims, x(3).dims) }],
  }),
  defineOp({
    opType: 'ConvInteger',
    sinceVersion: 10,
    infer: (c) => [{ dtype: 'int32', dims: convDims(c, c.x(0), c.x(1)) }],
  }),
  defineOp({
    opType: 'QLinearConv',
    sinceVersion: 10,
    infer: (c) => [{ dtype: c.x(7).dtype, dims: convDims(c, c.x(0), c.x(3)) }],
  }),
];

/** Sums a gradient in x's shape into the shape of the scale. */
function scaleGrad(op: GraphBuilder, g: Value, scale: Value, attrs: NodeAttributes): Value {
  if (numel(scale.dims) === 1) return op.reshape(op.reduceSumAll(g), scale.dims);
  const axis = normalizeAxis(attrs.int('axis', 1), g.dims.length);
  const block = attrs.int('block_size', 0);
  if (block === 0) {
    return op.reduceSum(
      g,
      g.dims.flatMap((_, i) => (i === axis ? [] : [i])),
      false,
    );
  }
  const pads = new Array<number>(2 * g.dims.length).fill(0);
  pads[g.dims.length + axis] = scale.dims[axis]! * block - g.dims[axis]!;
  const blocks = [...scale.dims.slice(0, axis + 1), block, ...scale.dims.slice(axis + 1)];
  return op.reduceSum(op.reshape(op.pad(g, pads), blocks), [axis + 1], false);
}

function productDims(a: readonly number[], b: readonly number[]): number[] {
  const [left, right] = [a.length === 1 ? [1, ...a] : a, b.length === 1 ? [...b, 1] : b];
  const batch = broadcastDims([left.slice(0, -2), right.slice(0, -2)]);
  return [...batch, ...(a.length === 1 ? [] : [left.at(-2)!]), ...(b.length === 1 ? [] : [right.at(-1)!])];
}

function convDims(c: InferContext, x: Value, w: Value): number[] {
  const spatial = x.dims.slice(2);
  const g = geometry(c.attrs, w.dims.slice(2), spatial);
  return [x.dims[0]!, w.dims[0]!, ...spatial.map((n, i) => outputSize(n, i, g))];
}
