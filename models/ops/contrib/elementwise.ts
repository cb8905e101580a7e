import type { Value } from '#models/onnx/builder.ts';
import { type InferContext, normalizeAxis, type OpDefinition } from '#models/ops/define.ts';
import { knownInts } from '#models/ops/shape.ts';
import { numel } from '#models/tensor/tensor.ts';
import { gelu, geluTanh } from './activate.ts';
import { badShape, contribOp, type Decompose, sameAsInput } from './contrib-op.ts';

const biased = (c: Decompose): Value => (c.inputs[1] ? c.op.add2(c.x(0), c.inputs[1]) : c.x(0));

function expandedDims(c: InferContext): number[] {
  const dims = c.x(0).dims;
  const axis = knownInts(c, 1)[0]!;
  const at = axis < 0 ? axis + dims.length + 1 : axis;
  if (at < 0 || at > dims.length) badShape(c, `axis ${axis} is outside [${dims.join(', ')}]`);
  return [...dims.slice(0, at), 1, ...dims.slice(at)];
}

export const elementwiseOps: readonly OpDefinition[] = [
  contribOp({ opType: 'Gelu', infer: sameAsInput, decompose: (c) => [gelu(c, c.x(0))] }),
  contribOp({ opType: 'BiasGelu', infer: sameAsInput, decompose: (c) => [gelu(c, biased(c))] }),
  contribOp({ opType: 'FastGelu', infer: sameAsInput, decompose: (c) => [geluTanh(c, biased(c))] }),
  /** x·σ(αx). */
  contribOp({
    opType: 'QuickGelu',
    infer: sameAsInput,
    decompose: ({ op, x, attrs }) => [
      op.mul(x(0), op.sigmoid(op.mulScalar(x(0), attrs.float('alpha', Math.fround(1.702))))),
    ],
  }),
  /** (l, r) = halves of x + bias along the last axis; y = l·Gelu(r). x `[N, S, 2C]`. */
  contribOp({
    opType: 'BiasSplitGelu',
    infer: ({ x }) => [{ dtype: x(0).dtype, dims: [...x(0).dims.slice(0, -1), x(0).dims.at(-1)! / 2] }],
    decompose: (c) => {
      const axis = c.x(0).dims.length - 1;
      const half = c.x(0).dims[axis]! / 2;
      if (!Number.isInteger(half)) badShape(c, `the last size of [${c.x(0).dims.join(', ')}] is odd`);
      const [left, right] = c.op.split(biased(c), axis, [half, half]) as [Value, Value];
      return [c.op.mul(left, gelu(c, right))];
    },
  }),
  /** x + bias + skip. */
  contribOp({
    opType: 'BiasAdd',
    infer: sameAsInput,
    decompose: (c) => [c.op.add2(biased(c), c.x(2))],
  }),
  /** Softmax(data + bias) over all axes from `axis` on together. */
  contribOp({
    opType: 'BiasSoftmax',
    infer: sameAsInput,
    decompose: (c) => {
      const { op, x, attrs } = c;
      const dims = x(0).dims;
      const axis = normalizeAxis(attrs.int('axis', 1), dims.length);
      const scores = op.reshape(biased(c), [...dims.slice(0, axis), numel(dims.slice(axis))]);
      return [op.reshape(op.softmax(scores), dims)];
    },
  }),
  contribOp({
    opType: 'Trilu',
    infer: sameAsInput,
    decompose: (c) => [
      c.op.apply('Trilu', c.inputs[1] ? [c.x(0), c.inputs[1]] : [c.x(0)], { upper: c.attrs.int('upper', 1) }),
    ],
  }),
  /** A size of one put in at a given axis. */
  contribOp({
    opType: 'ExpandDims',
    infer: (c) => [{ dtype: c.x(0).dtype, dims: expandedDims(c) }],
    decompose: (c) => [c.op.reshape(c.x(0), expandedDims(c))],
  }),
  /** Dropout(data + bias) + residual at inference, where nothing is dropped. */
  contribOp({
    opType: 'BiasDropout',
    infer: (c) => [...sameAsInput(c), { dtype: 'bool', dims: c.x(0).dims }],
    decompose: (c) => [c.inputs[2] ? c.op.add2(biased(c), c.inputs[2]) : biased(c)],
  }),
];
