import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { isHalf } from '#models/tensor/half.ts';
import { f32, fromNumbers, numel, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, normalizeAxis } from './define.ts';

const axisOf = (c: InferContext) => normalizeAxis(c.attrs.int('axis', -1), c.x(0).dims.length);

/** Sums over rows and batches, and products with 1/σ, pass the range of float16: gradients of norms are made in float32. */
const widened = (op: GraphBuilder, v: Value) => (isHalf(v.dtype) ? op.cast(v, 'float32') : v);

function isConstant(c: InferContext, i: number, value: number): boolean {
  const t = c.constant(i);
  return t !== undefined && toNumbers(t).every((v) => v === value);
}

/**
 * Layer normalisation over the axes from `axis` on (Ba, Kiros, Hinton 2016, arXiv:1607.06450). Outputs y, mean, 1/σ.
 * With g = dy ⊙ scale: dx = (g − mean(g) − x̂ ⊙ mean(g ⊙ x̂)) / σ.
 */
export const layerNormalization = defineOp({
  opType: 'LayerNormalization',
  sinceVersion: 17,
  gradOutputs: 3,
  infer: (c) => {
    const x = c.x(0);
    const axis = axisOf(c);
    const stats = { dtype: 'float32' as const, dims: x.dims.map((d, i) => (i >= axis ? 1 : d)) };
    return [{ dtype: x.dtype, dims: x.dims }, stats, stats];
  },
  grad: (c) => {
    const { op, x, inputs, outputs, needs } = c;
    const dy = widened(op, c.dy);
    const axis = axisOf(c);
    const rank = x(0).dims.length;
    const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
    const leading = Array.from({ length: axis }, (_, i) => i);
    const mean = op.cast(outputs[1]!, dy.dtype);
    const invStd = op.cast(outputs[2]!, dy.dtype);
    const unitScale = isConstant(c, 1, 1);
    const plain = unitScale && (!inputs[2] || isConstant(c, 2, 0));
    const xHat = plain ? widened(op, c.y) : op.mul(op.sub(widened(op, x(0)), mean), invStd);
    const sum = (v: Value, like: Value) => op.reshape(leading.length ? op.reduceSum(v, leading, false) : v, like.dims);
    const dx = () => {
      const g = unitScale ? dy : op.mul(dy, widened(op, x(1)));
      const centred = op.sub(g, op.reduceMean(g, axes));
      const through = op.mul(op.sub(centred, op.mul(xHat, rowMean(op, g, xHat, axis))), invStd);
      const beside = throughStatistics();
      return beside ? op.add2(through, beside) : through;
    };
    // What reads the statistics: dμ/dx = 1/n, d(1/σ)/dx = −x̂/(n·σ²).
    const throughStatistics = (): Value | null => {
      const [, dMean, dInvStd] = c.dys.map((d) => d && op.cast(d, dy.dtype));
      const byStd = dInvStd && op.neg(op.mul(op.mul(dInvStd, op.mul(invStd, invStd)), xHat));
      const both = dMean && byStd ? op.add2(dMean, byStd) : (dMean ?? byStd);
      return both ? op.mulScalar(both, 1 / numel(x(0).dims.slice(axis))) : null;
    };
    return [
      needs(0) ? dx() : null,
      needs(1) ? sum(op.mul(dy, xHat), x(1)) : null,
      ...(inputs[2] ? [needs(2) ? sum(dy, inputs[2]) : null] : []),
    ];
  },
});

/** Mean of a ⊙ b over the axes from `axis` on. Long rows as a product of matrices, which writes nothing in between. */
function rowMean(op: GraphBuilder, a: Value, b: Value, axis: number): Value {
  const length = numel(a.dims.slice(axis));
  if (length < 512) {
    return op.reduceMean(
      op.mul(a, b),
      a.dims.slice(axis).map((_, i) => axis + i),
    );
  }
  const rows = numel(a.dims.slice(0, axis));
  const dot = op.matmul(op.reshape(a, [rows, 1, length]), op.reshape(b, [rows, length, 1]));
  return op.mulScalar(
    op.reshape(
      dot,
      a.dims.map((d, i) => (i < axis ? d : 1)),
    ),
    1 / length,
  );
}

/** Standardises each row of `[rows, length]` through LayerNormalization with unit scale. */
function standardize(op: GraphBuilder, x: Value, dims: readonly number[], epsilon: number): Value {
  const rows = op.reshape(x, dims);
  const length = dims.at(-1)!;
  const scale = op.constant(
    x.dtype === 'float32'
      ? f32([length], new Float32Array(length).fill(1))
      : fromNumbers(x.dtype, [length], new Array<number>(length).fill(1)),
  );
  return op.applyMany(
    'LayerNormalization',
    [rows, scale],
    { axis: dims.length - 1, epsilon: { kind: 'float', value: epsilon } },
    3,
  )[0]!;
}

function perChannel(op: GraphBuilder, xHat: Value, scale: Value, bias: Value, unit: boolean): Value {
  if (unit) return xHat;
  const dims = [1, scale.dims[0]!, ...xHat.dims.slice(2).map(() => 1)];
  return op.add2(op.mul(xHat, op.reshape(scale, dims)), op.reshape(bias, dims));
}

/** Instance normalisation (Ulyanov et al. 2016, arXiv:1607.08022), written as LayerNormalization before differentiation. */
export const instanceNormalization = defineOp({
  opType: 'InstanceNormalization',
  sinceVersion: 6,
  infer: ({ x }) => [x(0)],
  decompose: (c) => {
    const { op, x } = c;
    const [n, ch, ...spatial] = x(0).dims;
    const unit = isConstant(c, 1, 1) && isConstant(c, 2, 0);
    const xHat = standardize(op, x(0), [n!, ch!, numel(spatial)], c.attrs.float('epsilon', 1e-5));
    return [perChannel(op, op.reshape(xHat, x(0).dims), x(1), x(2), unit)];
  },
});

/** Group normalisation (Wu and He 2018, arXiv:1803.08494), scale and bias per channel, written as LayerNormalization. */
export const groupNormalization = defineOp({
  opType: 'GroupNormalization',
  sinceVersion: 21,
  infer: ({ x }) => [x(0)],
  decompose: (c) => {
    const { op, x } = c;
    const [n, ch, ...spatial] = x(0).dims;
    const groups = c.attrs.int('num_groups');
    const xHat = standardize(op, x(0), [n!, groups, (ch! / groups) * numel(spatial)], c.attrs.float('epsilon', 1e-5));
    return [perChannel(op, op.reshape(xHat, x(0).dims), x(1), x(2), false)];
  },
});

/** Batch normalisation at inference: y = scale·(x − mean)/√(var + ε) + bias, statistics given. */
export const batchNormalization = defineOp({
  opType: 'BatchNormalization',
  sinceVersion: 15,
  infer: ({ x, node, attrs }) => {
    if (attrs.int('training_mode', 0) === 1) {
      throw new NorthlightError(
        'graph/training-mode',
        `BatchNormalization "${node.name}" normalises by the statistics of the batch and updates its own.`,
        'Export the model for inference (model.eval() in PyTorch): its statistics are then fixed.',
      );
    }
    return [x(0)];
  },
  grad: (c) => {
    const { op, x, needs } = c;
    const dy = widened(op, c.dy);
    const [scale, mean, variance] = [1, 3, 4].map((i) => widened(op, x(i))) as [Value, Value, Value];
    const wide = (v: Value) =>
      op.reshape(v, [
        1,
        v.dims[0]!,
        ...x(0)
          .dims.slice(2)
          .map(() => 1),
      ]);
    const sum = (v: Value) =>
      op.reduceSum(
        v,
        [
          0,
          ...x(0)
            .dims.slice(2)
            .map((_, i) => i + 2),
        ],
        false,
      );
    const invStd = op.div(op.scalar(1, dy.dtype), op.sqrt(op.addScalar(variance, c.attrs.float('epsilon', 1e-5))));
    const slope = op.mul(scale, invStd);
    const statistics = needs(1) || needs(3) || needs(4);
    const centred = statistics ? op.sub(widened(op, x(0)), wide(mean)) : null;
    const dyCentred = centred && (needs(1) || needs(4)) ? sum(op.mul(dy, centred)) : null;
    const dySum = needs(2) || needs(3) ? sum(dy) : null;
    return [
      needs(0) ? op.mul(dy, wide(slope)) : null,
      needs(1) ? op.mul(dyCentred!, invStd) : null,
      needs(2) ? dySum : null,
      needs(3) ? op.neg(op.mul(dySum!, slope)) : null,
      needs(4) ? op.mulScalar(op.mul(op.mul(dyCentred!, slope), op.mul(invStd, invStd)), -0.5) : null,
    ];
  },
});
