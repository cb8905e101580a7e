import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { fromNumbers, i64, numel } from '#models/tensor/tensor.ts';
import { cartesian } from './conv.ts';
import { defineOp, type InferContext } from './define.ts';
import { knownInts } from './shape.ts';

type Context = InferContext & { readonly op: GraphBuilder };

interface Tap {
  /** Whole-numbered places along one axis, as floats: `[N, P]`. */
  readonly at: Value;
  readonly weight: Value | null;
}

/** Where −1 … 1 lies on an axis of `n`: at the centres of its outer elements (align) or at their outer edges. */
const unnormalize = (op: GraphBuilder, g: Value, n: number, align: boolean): Value =>
  align ? op.mulScalar(op.addScalar(g, 1), (n - 1) / 2) : op.addScalar(op.mulScalar(op.addScalar(g, 1), n / 2), -0.5);

/** Folds places outside an axis back into it, as between two mirrors. */
function reflect(op: GraphBuilder, x: Value, n: number, align: boolean): Value {
  const [low, high] = align ? [0, n - 1] : [-0.5, n - 0.5];
  const span = high - low;
  if (span === 0) return op.mulScalar(x, 0);
  const distance = op.apply('Abs', [op.addScalar(x, -low)]);
  const turns = op.apply('Floor', [op.mulScalar(distance, 1 / span)]);
  const rest = op.sub(distance, op.mulScalar(turns, span));
  const odd = op.sub(turns, op.mulScalar(op.apply('Floor', [op.mulScalar(turns, 0.5)]), 2));
  const there = op.addScalar(rest, low);
  const back = op.sub(op.scalar(high, x.dtype), rest);
  return op.where(op.apply('Greater', [odd, op.scalar(0.5, x.dtype)]), back, there);
}

const clip = (op: GraphBuilder, x: Value, n: number): Value =>
  op.apply('Clip', [x, op.scalar(0, x.dtype), op.scalar(n - 1, x.dtype)]);

/** A place brought inside the axis by the padding mode; zero padding leaves it where it is. */
function inside(op: GraphBuilder, x: Value, n: number, padding: string, align: boolean): Value {
  if (padding === 'border') return clip(op, x, n);
  return padding === 'reflection' ? clip(op, reflect(op, x, n, align), n) : x;
}

/** Keys' cubic kernel with a = −3/4 at distance `t + offset` of a fraction t in 0 … 1. */
function cubicWeight(op: GraphBuilder, t: Value, tap: number): Value {
  const a = -0.75;
  const near = tap === 0 || tap === 1;
  const d = tap === -1 ? op.addScalar(t, 1) : tap === 0 ? t : op.addScalar(op.neg(t), tap);
  const [c3, c2, c1, c0] = near ? [a + 2, -(a + 3), 0, 1] : [a, -5 * a, 8 * a, -4 * a];
  const horner = (p: Value, c: number) => op.addScalar(op.mul(p, d), c);
  return horner(horner(horner(op.scalar(c3!, t.dtype), c2!), c1!), c0!);
}

/** The elements along one axis that a place is mixed from. */
function taps(c: Context, g: Value, n: number): Tap[] {
  const { op, attrs } = c;
  const align = attrs.int('align_corners', 0) === 1;
  const padding = attrs.str('padding_mode', 'zeros');
  const place = unnormalize(op, g, n, align);
  switch (attrs.str('mode', 'linear')) {
    case 'nearest':
      return [{ at: op.apply('Round', [inside(op, place, n, padding, align)]), weight: null }];
    case 'linear': {
      const x = inside(op, place, n, padding, align);
      const first = op.apply('Floor', [x]);
      const t = op.sub(x, first);
      return [
        { at: first, weight: op.sub(op.scalar(1, x.dtype), t) },
        { at: op.addScalar(first, 1), weight: t },
      ];
    }
    case 'cubic': {
      const first = op.apply('Floor', [place]);
      const t = op.sub(place, first);
      return [-1, 0, 1, 2].map((tap) => ({
        at: inside(op, op.addScalar(first, tap), n, padding, align),
        weight: cubicWeight(op, t, tap),
      }));
    }
    default:
      throw new NorthlightError(
        'onnx/unsupported',
        `GridSample "${c.node.name}" has the unknown mode "${attrs.str('mode')}".`,
      );
  }
}

/**
 * Samples images at given places (Jaderberg et al. 2015, arXiv:1506.02025), written as a weighted sum of gathered
 * elements, so that gradients reach both the image and the places. x `[N, C, …]`, grid `[N, …, d]` in −1 … 1, its last
 * axis from the innermost axis outwards.
 */
export const gridSample = defineOp({
  opType: 'GridSample',
  sinceVersion: 20,
  infer: ({ x }) => [{ dtype: x(0).dtype, dims: [x(0).dims[0]!, x(0).dims[1]!, ...x(1).dims.slice(1, -1)] }],
  decompose: (c) => {
    const { op, x } = c;
    const [n, channels, ...spatial] = x(0).dims as [number, number, ...number[]];
    const out = x(1).dims.slice(1, -1);
    const points = numel(out);
    const rank = spatial.length;
    const columns = op.split(
      op.reshape(op.cast(x(1), x(0).dtype), [n, points, rank]),
      2,
      new Array<number>(rank).fill(1),
    );
    const perAxis = spatial.map((size, i) => taps(c, op.reshape(columns[rank - 1 - i]!, [n, points]), size));
    // Channels last, so that one index takes a whole pixel: [N·∏spatial, C].
    const pixels = numel(spatial);
    const rows = op.reshape(op.transposeLast(op.reshape(x(0), [n, channels, pixels])), [n * pixels, channels]);
    const samples = op.constant(
      i64(
        [n, 1],
        Array.from({ length: n }, (_, i) => i * pixels),
      ),
    );
    const { dtype } = x(0);
    const terms = cartesian(perAxis.map((t) => t.length)).map((choice) => {
      let index: Value = samples;
      let weight: Value | null = null;
      choice.forEach((k, axis) => {
        const tap = perAxis[axis]![k]!;
        const size = spatial[axis]!;
        const valid = op.apply('Equal', [tap.at, clip(op, tap.at, size)]);
        const within = op.cast(valid, dtype);
        const w = tap.weight ? op.mul(tap.weight, within) : within;
        weight = weight ? op.mul(weight, w) : w;
        const at = op.cast(clip(op, tap.at, size), 'int64');
        index = op.add2(index, op.mul(at, op.scalar(numel(spatial.slice(axis + 1)), 'int64')));
      });
      return op.mul(op.gather(rows, index, 0), op.reshape(weight!, [n, points, 1]));
    });
    const sum = terms.length === 1 ? terms[0]! : op.apply('Sum', terms);
    return [op.reshape(op.transposeLast(sum), [n, channels, ...out])];
  },
});

/** Places of an affine map, `[N, …size, d]`, from its matrices θ `[N, d, d + 1]`: a product with the places of the identity. */
export const affineGrid = defineOp({
  opType: 'AffineGrid',
  sinceVersion: 20,
  infer: (c) => {
    const size = knownInts(c, 1);
    return [{ dtype: c.x(0).dtype, dims: [size[0]!, ...size.slice(2), size.length - 2] }];
  },
  decompose: (c) => {
    const { op, x, attrs } = c;
    const [n, , ...spatial] = knownInts(c, 1) as [number, number, ...number[]];
    const align = attrs.int('align_corners', 0) === 1;
    const at = (i: number, size: number) => {
      if (!align) return (2 * i + 1) / size - 1;
      return size > 1 ? (2 * i) / (size - 1) - 1 : -1;
    };
    const base = cartesian(spatial).flatMap((place) => [...place.map((i, axis) => at(i, spatial[axis]!)).reverse(), 1]);
    const identity = op.constant(fromNumbers(x(0).dtype, [numel(spatial), spatial.length + 1], base));
    return [op.reshape(op.matmul(identity, op.transposeLast(x(0))), [n, ...spatial, spatial.length])];
  },
});
