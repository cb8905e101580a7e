import type { Value } from '#models/onnx/builder.ts';
import { float } from '#models/onnx/ir.ts';
import { type InferContext, normalizeAxis, type OpDefinition } from '#models/ops/define.ts';
import { type DType, fromNumbers, numel } from '#models/tensor/tensor.ts';
import { silu } from './activate.ts';
import { badShape, contribOp, type Decompose, sameAsInput } from './contrib-op.ts';
import { turn } from './turn.ts';

/** The runtime's default in the fused forms of layer normalisation that come from transformers. */
const TINY_EPSILON = 1e-12;

/** y, mean and 1/σ over the last axis. */
function layerNorm(c: Decompose, x: Value, scale: Value, bias: Value | undefined, epsilon: number): Value[] {
  return c.op.applyMany(
    'LayerNormalization',
    bias ? [x, scale, bias] : [x, scale],
    { axis: -1, epsilon: float(epsilon) },
    3,
  );
}

/**
 * x ⊙ scale ∕ √(mean x² + ε) over the axes from `axis` on (Zhang and Sennrich 2019, arXiv:1910.07467), and 1 ∕ √(…).
 * 16-bit floats are computed in float32, where ε is not zero.
 */
function rmsNorm(
  { op }: Decompose,
  x: Value,
  scale: Value,
  options: { readonly axis: number; readonly epsilon: number; readonly result: DType },
): [y: Value, invRms: Value] {
  const wide = x.dtype === 'float64' ? 'float64' : 'float32';
  const v = op.cast(x, wide);
  const axes = x.dims.flatMap((_, i) => (i >= options.axis ? [i] : []));
  const mean = op.reduceMean(op.mul(v, v), axes);
  const inv = op.apply('Reciprocal', [op.sqrt(op.addScalar(mean, options.epsilon))]);
  return [op.cast(op.mul(op.mul(v, inv), op.cast(scale, wide)), options.result), op.cast(inv, 'float32')];
}

const statistics = (x: Value, axis: number) => ({
  dtype: 'float32' as DType,
  dims: x.dims.map((d, i) => (i >= axis ? 1 : d)),
});

const skipShapes = (c: InferContext) => {
  const x = c.x(0);
  const rows = statistics(x, x.dims.length - 1);
  return [x, rows, rows, x].map(({ dtype, dims }) => ({ dtype, dims }));
};

const plus = ({ op }: Decompose, first: Value, ...rest: readonly (Value | undefined)[]): Value =>
  rest.reduce<Value>((sum, v) => (v ? op.add2(sum, v) : sum), first);

/** y = LayerNormalization(input + skip + bias). Inputs input, skip, gamma, beta, bias; outputs y, mean, 1/σ, the sum. */
const skipLayerNormalization = contribOp({
  opType: 'SkipLayerNormalization',
  infer: skipShapes,
  decompose: (c) => {
    const sum = plus(c, c.x(0), c.x(1), c.inputs[4]);
    return [...layerNorm(c, sum, c.x(2), c.inputs[3], c.attrs.float('epsilon', TINY_EPSILON)), sum];
  },
});

/** y = RMSNorm(input + skip + bias). Inputs input, skip, gamma, bias; outputs y, (none), 1/rms, the sum. */
const skipSimplifiedLayerNormalization = contribOp({
  opType: 'SkipSimplifiedLayerNormalization',
  infer: skipShapes,
  decompose: (c) => {
    const { op, x } = c;
    const sum = plus(c, x(0), x(1), c.inputs[3]);
    const axis = sum.dims.length - 1;
    const epsilon = c.attrs.float('epsilon', TINY_EPSILON);
    const [y, inv] = rmsNorm(c, sum, x(2), { axis, epsilon, result: sum.dtype });
    return [y, op.cast(op.reduceMean(sum, [axis]), 'float32'), inv, sum];
  },
});

/** RMS normalisation, which the runtime keeps in the standard domain. Outputs y and 1/rms. */
const simplifiedLayerNormalization = contribOp({
  opType: 'SimplifiedLayerNormalization',
  domain: '',
  infer: (c) => {
    const x = c.x(0);
    const axis = normalizeAxis(c.attrs.int('axis', -1), x.dims.length);
    return [{ dtype: c.x(1).dtype, dims: x.dims }, statistics(x, axis)];
  },
  decompose: (c) => {
    const { x, attrs } = c;
    const axis = normalizeAxis(attrs.int('axis', -1), x(0).dims.length);
    return rmsNorm(c, x(0), x(1), { axis, epsilon: attrs.float('epsilon', 1e-5), result: x(1).dtype });
  },
});

/**
 * LayerNormalization(word + position + segment embeddings). Ids `[B, S]`; mask `[B, S]` of ones and zeros.
 * Outputs y, the number of ones per row of the mask, the sum of embeddings.
 */
const embedLayerNormalization = contribOp({
  opType: 'EmbedLayerNormalization',
  infer: ({ x }) => {
    const [b, s] = x(0).dims as [number, number];
    const embedded = { dtype: x(2).dtype, dims: [b, s, x(2).dims[1]!] };
    return [embedded, { dtype: 'int32', dims: [b] }, embedded];
  },
  decompose: (c) => {
    const { op, x, inputs, attrs } = c;
    const [b, s] = x(0).dims as [number, number];
    const [, segmentIds, , , segments, , , mask, positionIds] = inputs;
    const word = op.gather(x(2), x(0), 0);
    const position = positionIds ? op.gather(x(3), positionIds, 0) : op.slice(x(3), 0, 0, s);
    const segment = segments && segmentIds ? op.gather(segments, segmentIds, 0) : undefined;
    const sum = plus(c, word, position, segment);
    const y = layerNorm(c, sum, x(5), x(6), attrs.float('epsilon', TINY_EPSILON))[0]!;
    const one = mask && op.apply('Equal', [mask, op.scalar(1, mask.dtype)]);
    const count = one
      ? op.reduceSum(op.cast(one, 'int32'), [1], false)
      : op.constant(fromNumbers('int32', [b], new Array<number>(b).fill(0)));
    return [y, count, sum];
  },
});

/** Group normalisation of `[N, …, C]` or `[N, C, …]`, then SiLU where asked (attribute activation = 1). */
function groupNorm(c: Decompose, x: Value, scale: Value, bias: Value): Value {
  const { op, attrs } = c;
  const last = attrs.int('channels_last', 1) === 1;
  const rank = x.dims.length;
  const inner = Array.from({ length: rank - 2 }, (_, i) => i);
  const first = last ? turn(op, x, [0, rank - 1, ...inner.map((i) => i + 1)]) : x;
  const [n, channels, ...spatial] = first.dims as [number, number, ...number[]];
  const groups = attrs.int('groups');
  if (channels % groups !== 0) badShape(c, `${channels} channels do not divide into ${groups} groups`);
  const length = (channels / groups) * numel(spatial);
  const ones = op.constant(fromNumbers(x.dtype, [length], new Array<number>(length).fill(1)));
  const rows = layerNorm(c, op.reshape(first, [n, groups, length]), ones, undefined, attrs.float('epsilon', 1e-5))[0]!;
  const wide = (v: Value) => op.reshape(op.cast(v, x.dtype), [1, channels, ...spatial.map(() => 1)]);
  let y = op.add2(op.mul(op.reshape(rows, first.dims), wide(scale)), wide(bias));
  if (attrs.int('activation') === 1) y = silu(c, y);
  return last ? op.transpose(y, [0, ...inner.map((i) => i + 2), 1]) : y;
}

/** GroupNorm of images, channels last unless said otherwise; the runtime has it for GPUs only. */
const groupNormOp = contribOp({
  opType: 'GroupNorm',
  infer: sameAsInput,
  decompose: (c) => [groupNorm(c, c.x(0), c.x(1), c.x(2))],
});

/** s = x + skip + bias per channel, y = GroupNorm(s). skip like x, or `[N, C]`, or `[N, 1, 1, C]`. Outputs y and s. */
const skipGroupNorm = contribOp({
  opType: 'SkipGroupNorm',
  infer: ({ x }) => [x(0), x(0)].map(({ dtype, dims }) => ({ dtype, dims })),
  decompose: (c) => {
    const { op, x, inputs, attrs } = c;
    const rank = x(0).dims.length;
    const channelAxis = attrs.int('channels_last', 1) === 1 ? rank - 1 : 1;
    const n = x(0).dims[0]!;
    const channels = x(0).dims[channelAxis]!;
    const along = (first: number) => x(0).dims.map((_, i) => (i === 0 ? first : i === channelAxis ? channels : 1));
    const skip = numel(x(3).dims) === n * channels ? op.reshape(x(3), along(n)) : x(3);
    const sum = plus(c, x(0), skip, inputs[4] && op.reshape(inputs[4], along(1)));
    return [groupNorm(c, sum, x(1), x(2)), sum];
  },
});

export const normalizationOps: readonly OpDefinition[] = [
  skipLayerNormalization,
  skipSimplifiedLayerNormalization,
  simplifiedLayerNormalization,
  embedLayerNormalization,
  groupNormOp,
  skipGroupNorm,
];
