import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { defineOp, type InferContext } from './define.ts';

type Context = InferContext & { readonly op: GraphBuilder };

/**
 * −w[target]·logProb[target] over the classes (axis 1), summed, averaged by weight, or each; a target of `ignore_index`
 * counts for nothing. @param logProb `[N, C, …]`, @param target `[N, …]`, @param weight `[C]`.
 */
function negativeLogLikelihood(c: Context, logProb: Value, target: Value, weight: Value | undefined): Value {
  const { op, attrs } = c;
  const { dtype } = logProb;
  const column = [target.dims[0]!, 1, ...target.dims.slice(1)];
  let index = target;
  let w = weight ? null : op.expand(op.scalar(1, dtype), target.dims);
  let ignored: Value | null = null;
  if (attrs.has('ignore_index')) {
    ignored = op.apply('Equal', [target, op.scalar(attrs.int('ignore_index'), target.dtype)]);
    index = op.where(ignored, op.scalar(0, target.dtype), target);
  }
  if (weight) w = op.gather(weight, index, 0);
  if (ignored) w = op.where(ignored, op.scalar(0, dtype), w!);
  const chosen = op.apply('GatherElements', [logProb, op.reshape(index, column)], { axis: 1 });
  const each = op.neg(op.mul(op.reshape(chosen, target.dims), w!));
  switch (attrs.str('reduction', 'mean')) {
    case 'none':
      return each;
    case 'sum':
      return op.reduceSumAll(each);
    default:
      return op.div(op.reduceSumAll(each), op.reduceSumAll(w!));
  }
}

const lossShape = ({ x, attrs }: InferContext) => ({
  dtype: x(0).dtype,
  dims: attrs.str('reduction', 'mean') === 'none' ? x(1).dims : [],
});

/** ONNX `NegativeLogLikelihoodLoss`, in simpler operators. */
export const negativeLogLikelihoodLoss = defineOp({
  opType: 'NegativeLogLikelihoodLoss',
  sinceVersion: 13,
  infer: (c) => [lossShape(c)],
  decompose: (c) => [negativeLogLikelihood(c, c.x(0), c.x(1), c.inputs[2])],
});

/** Cross entropy of logits `[N, C, …]`: the loss, and the log-probabilities when they are asked for. */
export const softmaxCrossEntropyLoss = defineOp({
  opType: 'SoftmaxCrossEntropyLoss',
  sinceVersion: 13,
  infer: (c) => [lossShape(c), { dtype: c.x(0).dtype, dims: c.x(0).dims }],
  decompose: (c) => {
    const logProb = c.op.apply('LogSoftmax', [c.x(0)], { axis: 1 });
    return [negativeLogLikelihood(c, logProb, c.x(1), c.inputs[2]), logProb];
  },
});
