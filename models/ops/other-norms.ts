import { fromNumbers } from '#models/tensor/tensor.ts';
import { defineOp, normalizeAxis, type OpDefinition } from './define.ts';

/** Normalisations that are written in simpler operators before differentiation. */
export const otherNorms: readonly OpDefinition[] = [
  // y = scale · x / √(mean(x²) + ε) over the axes from `axis` on (Zhang and Sennrich 2019, arXiv:1910.07467).
  defineOp({
    opType: 'RMSNormalization',
    sinceVersion: 23,
    infer: ({ x }) => [x(0)],
    decompose: ({ op, x, attrs }) => {
      const rank = x(0).dims.length;
      const axis = normalizeAxis(attrs.int('axis', -1), rank);
      const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
      // 16-bit floats are squared in float32, which `stash_type` asks for by default.
      const narrow = x(0).dtype === 'float16' || x(0).dtype === 'bfloat16';
      const v = narrow && attrs.int('stash_type', 1) === 1 ? op.cast(x(0), 'float32') : x(0);
      const mean = op.reduceMean(op.mul(v, v), axes);
      const unit = op.div(v, op.sqrt(op.addScalar(mean, attrs.float('epsilon', 1e-5))));
      return [op.mul(op.cast(unit, x(0).dtype), x(1))];
    },
  }),
  // x over its 1- or 2-norm along an axis; a row of zeros stays one.
  defineOp({
    opType: 'LpNormalization',
    sinceVersion: 1,
    infer: ({ x }) => [x(0)],
    decompose: ({ op, x, attrs }) => {
      const axis = attrs.int('axis', -1);
      const norm = op.apply(attrs.int('p', 2) === 1 ? 'ReduceL1' : 'ReduceL2', [x(0), op.i64([axis])], { keepdims: 1 });
      const isZero = op.apply('Equal', [norm, op.scalar(0, norm.dtype)]);
      return [op.div(x(0), op.where(isZero, op.scalar(1, norm.dtype), norm))];
    },
  }),
  // (x − mean) / (σ + 10⁻⁹) over the given axes.
  defineOp({
    opType: 'MeanVarianceNormalization',
    sinceVersion: 13,
    infer: ({ x }) => [x(0)],
    decompose: ({ op, x, attrs }) => {
      const axes = attrs.ints('axes', [0, 2, 3]);
      const centred = op.sub(x(0), op.reduceMean(x(0), axes));
      const variance = op.reduceMean(op.mul(centred, centred), axes);
      return [op.div(centred, op.addScalar(op.sqrt(variance), 1e-9))];
    },
  }),
  // x / (bias + α/size · Σ x²)^β, the sum over `size` neighbouring channels (Krizhevsky et al. 2012, section 3.3).
  defineOp({
    opType: 'LRN',
    sinceVersion: 13,
    infer: ({ x }) => [x(0)],
    decompose: ({ op, x, attrs }) => {
      const { dims, dtype } = x(0);
      const [n, channels, ...spatial] = dims as [number, number, ...number[]];
      const size = attrs.int('size');
      const [below, above] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
      const band = Array.from({ length: channels * channels }, (_, i) => {
        const offset = (i % channels) - Math.floor(i / channels);
        return Number(offset >= -below && offset <= above);
      });
      const length = spatial.reduce((a, b) => a * b, 1);
      const squares = op.reshape(op.mul(x(0), x(0)), [n, channels, length]);
      const sums = op.reshape(op.matmul(op.constant(fromNumbers(dtype, [channels, channels], band)), squares), dims);
      const base = op.addScalar(op.mulScalar(sums, attrs.float('alpha', 1e-4) / size), attrs.float('bias', 1));
      return [op.div(x(0), op.apply('Pow', [base, op.scalar(attrs.float('beta', 0.75), dtype)]))];
    },
  }),
];
