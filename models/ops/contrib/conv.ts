import type { Value } from '#models/onnx/builder.ts';
import type { Attribute } from '#models/onnx/ir.ts';
import { geometry, outputSize } from '#models/ops/conv.ts';
import type { InferContext, OpDefinition } from '#models/ops/define.ts';
import { activate } from './activate.ts';
import { badShape, contribOp, type Decompose, floatList } from './contrib-op.ts';
import { turn } from './turn.ts';

const GEOMETRY = ['auto_pad', 'dilations', 'group', 'pads', 'strides', 'ceil_mode'];

/** The attributes that say where the windows are. */
const windowAttributes = (c: InferContext): Record<string, Attribute> =>
  Object.fromEntries([...c.node.attributes].filter(([name]) => GEOMETRY.includes(name)));

const toFirst = (rank: number) => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
const toLast = (rank: number) => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
const permute = (dims: readonly number[], perm: readonly number[]) => perm.map((p) => dims[p]!);

/** Sizes of a convolution's output from those of its input `[N, C, …]` and kernel `[M, C/group, …]`. */
function convDims(c: InferContext, x: readonly number[], w: readonly number[]): number[] {
  const [n, , ...spatial] = x as [number, number, ...number[]];
  const g = geometry(c.attrs, w.slice(2), spatial);
  return [n, w[0]!, ...spatial.map((s, i) => outputSize(s, i, g))];
}

/** activation(Conv(x, w, b) + z). */
function fusedConv(c: Decompose, x: Value, w: Value, z: Value | undefined): Value {
  const { op, inputs } = c;
  const y = op.apply('Conv', inputs[2] ? [x, w, inputs[2]] : [x, w], {
    kernel_shape: w.dims.slice(2),
    ...windowAttributes(c),
  });
  return activate(c, c.attrs.str('activation', ''), z ? op.add2(y, z) : y, floatList(c, 'activation_params'));
}

/**
 * Whether a kernel is `[M, …kernel, C/group]` (as the transformer optimiser writes it) or `[M, C/group, …kernel]`.
 * @param preferred the layout when both fit.
 */
function kernelIsLast(c: InferContext, preferred: boolean): boolean {
  const w = c.x(1).dims;
  const channels = c.x(0).dims.at(-1)! / c.attrs.int('group', 1);
  const kernel = c.attrs.ints('kernel_shape', []);
  const fits = (last: boolean) => {
    const spatial = last ? w.slice(1, -1) : w.slice(2);
    return (last ? w.at(-1) : w[1]) === channels && kernel.every((k, i) => k === spatial[i]);
  };
  if (fits(preferred)) return preferred;
  if (fits(!preferred)) return !preferred;
  return badShape(c, `a kernel of [${w.join(', ')}] does not fit ${channels} channel(s) in each group`);
}

/** A convolution of channels-last images. */
const nhwcConv = (opType: string, preferLast: boolean): OpDefinition =>
  contribOp({
    opType,
    infer: (c) => {
      const rank = c.x(0).dims.length;
      const w = kernelIsLast(c, preferLast) ? permute(c.x(1).dims, toFirst(rank)) : c.x(1).dims;
      return [
        { dtype: c.x(0).dtype, dims: permute(convDims(c, permute(c.x(0).dims, toFirst(rank)), w), toLast(rank)) },
      ];
    },
    decompose: (c) => {
      const { op, x, inputs } = c;
      const rank = x(0).dims.length;
      const first = (v: Value) => turn(op, v, toFirst(rank));
      const w = kernelIsLast(c, preferLast) ? first(x(1)) : x(1);
      const y = fusedConv(c, first(x(0)), w, inputs[3] && first(inputs[3]));
      return [op.transpose(y, toLast(rank))];
    },
  });

export const convOps: readonly OpDefinition[] = [
  /** Inputs x, w, b and a summand z of the output's shape. */
  contribOp({
    opType: 'FusedConv',
    infer: (c) => [{ dtype: c.x(0).dtype, dims: convDims(c, c.x(0).dims, c.x(1).dims) }],
    decompose: (c) => [fusedConv(c, c.x(0), c.x(1), c.inputs[3])],
  }),
  // The optimiser for GPUs turns kernels with the images; the later CPU form keeps them.
  nhwcConv('NhwcConv', true),
  nhwcConv('NhwcFusedConv', false),
  contribOp({
    opType: 'NhwcMaxPool',
    infer: (c) => {
      const rank = c.x(0).dims.length;
      const [n, channels, ...spatial] = permute(c.x(0).dims, toFirst(rank)) as [number, number, ...number[]];
      const g = geometry(c.attrs, c.attrs.ints('kernel_shape'), spatial);
      const ceil = c.attrs.int('ceil_mode', 0) === 1;
      const out = spatial.map((s, i) => outputSize(s, i, g, ceil));
      return [{ dtype: c.x(0).dtype, dims: permute([n, channels, ...out], toLast(rank)) }];
    },
    decompose: (c) => {
      const { op, x } = c;
      const rank = x(0).dims.length;
      const y = op.applyMany(
        'MaxPool',
        [turn(op, x(0), toFirst(rank))],
        { kernel_shape: c.attrs.ints('kernel_shape'), ...windowAttributes(c) },
        2,
      )[0]!;
      return [op.transpose(y, toLast(rank))];
    },
  }),
];
