import { numel } from '#models/tensor/tensor.ts';
import { cartesian } from './conv.ts';
import { defineOp, type InferContext } from './define.ts';
import { knownInts } from './shape.ts';

function planOf(c: InferContext) {
  const image = knownInts(c, 1);
  const block = knownInts(c, 2);
  const r = image.length;
  const strides = c.attrs.ints('strides', new Array<number>(r).fill(1));
  const dilations = c.attrs.ints('dilations', new Array<number>(r).fill(1));
  const pads = c.attrs.ints('pads', new Array<number>(2 * r).fill(0));
  const steps = image.map(
    (n, i) => Math.floor((n + pads[i]! + pads[r + i]! - dilations[i]! * (block[i]! - 1) - 1) / strides[i]!) + 1,
  );
  return { image, block, strides, dilations, pads, steps, rank: r };
}

/** Sums overlapping blocks into an image (`fold`); its adjoint cuts the image into blocks (`unfold`). x `[N, C·∏block, L]`. */
export const col2Im = defineOp({
  opType: 'Col2Im',
  sinceVersion: 18,
  infer: (c) => {
    const { image, block } = planOf(c);
    return [{ dtype: c.x(0).dtype, dims: [c.x(0).dims[0]!, c.x(0).dims[1]! / numel(block), ...image] }];
  },
  grad: (c) => {
    const { op, dy } = c;
    const { block, strides, dilations, pads, steps, rank } = planOf(c);
    const [n, channels] = dy.dims as [number, number];
    const padded = op.pad(dy, [0, 0, ...pads.slice(0, rank), 0, 0, ...pads.slice(rank)]);
    const axes = block.map((_, i) => i + 2);
    const columns = cartesian(block).map((offset) => {
      const starts = offset.map((o, i) => o * dilations[i]!);
      const ends = starts.map((s, i) => s + (steps[i]! - 1) * strides[i]! + 1);
      const taken = op.apply('Slice', [padded, op.i64(starts), op.i64(ends), op.i64(axes), op.i64(strides)]);
      return op.reshape(taken, [n, channels, 1, numel(steps)]);
    });
    return [op.reshape(op.concat(columns, 2), c.x(0).dims), null, null];
  },
});
