import { dtypeOf } from '#models/onnx/data-types.ts';
import type { DType } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, type OpDefinition } from './define.ts';

const asked = (c: InferContext, otherwise: DType): DType =>
  (c.attrs.has('dtype') ? dtypeOf(c.attrs.int('dtype')) : undefined) ?? otherwise;

/** Draws of the runtime's own generator: constants as far as gradients go. */
export const randomOps: readonly OpDefinition[] = [
  ...(['RandomNormal', 'RandomUniform'] as const).map((opType) =>
    defineOp({
      opType,
      sinceVersion: 1,
      infer: (c) => [{ dtype: asked(c, 'float32'), dims: c.attrs.ints('shape') }],
      grad: 'none',
    }),
  ),
  ...(['RandomNormalLike', 'RandomUniformLike'] as const).map((opType) =>
    defineOp({
      opType,
      sinceVersion: 1,
      infer: (c) => [{ dtype: asked(c, c.x(0).dtype), dims: c.x(0).dims }],
      grad: 'none',
    }),
  ),
  defineOp({
    opType: 'Bernoulli',
    sinceVersion: 15,
    infer: (c) => [{ dtype: asked(c, c.x(0).dtype), dims: c.x(0).dims }],
    grad: 'none',
  }),
  defineOp({
    opType: 'Multinomial',
    sinceVersion: 7,
    infer: (c) => [{ dtype: asked(c, 'int32'), dims: [c.x(0).dims[0]!, c.attrs.int('sample_size', 1)] }],
    grad: 'none',
  }),
];
