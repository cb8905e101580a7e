import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import { fromNumbers, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, normalizeAxis } from './define.ts';

interface ResizePlan {
  readonly out: readonly number[];
  readonly scales: readonly number[];
  /** Start and end of the cut per axis, as shares of the axis, for `tf_crop_and_resize`. */
  readonly roi: readonly (readonly [start: number, end: number])[];
}

function planOf(c: InferContext): ResizePlan {
  const dims = c.x(0).dims;
  const axes = c.attrs.ints('axes', [...dims.keys()]).map((a) => normalizeAxis(a, dims.length));
  const known = (i: number) => {
    const t = c.inputs[i] ? c.constant(i) : undefined;
    return t && t.data.length > 0 ? toNumbers(t) : null;
  };
  // Axes that are not named keep their size.
  const place = <T>(values: readonly T[], rest: (axis: number) => T) =>
    dims.map((_, axis) => (axes.includes(axis) ? values[axes.indexOf(axis)]! : rest(axis)));
  const crops = c.attrs.str('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize';
  const box = crops ? known(1) : null;
  if (crops && !box) throw dynamic(c, 'cuts a part');
  const roi = place<readonly [number, number]>(
    axes.map((_, i) => (box ? [box[i]!, box[axes.length + i]!] : [0, 1])),
    () => [0, 1],
  );
  const sizes = known(3);
  if (sizes) {
    const policy = c.attrs.str('keep_aspect_ratio_policy', 'stretch');
    if (policy === 'stretch') {
      const out = place(sizes, (axis) => dims[axis]!);
      return { out, scales: out.map((o, i) => o / dims[i]!), roi };
    }
    const ratios = axes.map((axis, i) => sizes[i]! / dims[axis]!);
    const ratio = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
    const out = dims.map((d, axis) => (axes.includes(axis) ? Math.floor(d * ratio + 0.5) : d));
    return { out, scales: dims.map((_, axis) => (axes.includes(axis) ? ratio : 1)), roi };
  }
  const scales = known(2);
  if (scales) {
    const s = place(scales, () => 1);
    // The runtime does not multiply by the part that is cut out.
    return { out: dims.map((d, i) => Math.floor(d * s[i]!)), scales: s, roi };
  }
  throw dynamic(c, 'has a size');
}

const dynamic = (c: InferContext, what: string) =>
  new NorthlightError(
    'onnx/dynamic-shape',
    `Resize "${c.node.name}" ${what} that is only known at run time.`,
    'Give every graph input a fixed size.',
  );

/**
 * Where output place `o` of `m` lies on an axis of `n`, step by step in float32 as the runtime computes it: whether a place
 * is rounded up or down may hang on the last bit.
 */
function sourceOf(c: InferContext, n: number, m: number, exactScale: number, roi: readonly [number, number]) {
  const f = Math.fround;
  const [scale, start, end] = [f(exactScale), f(roi[0]), f(roi[1])];
  const centre = (o: number) => f(f(o + 0.5) / scale);
  const modes: Readonly<Record<string, (o: number) => number>> = {
    half_pixel: (o) => f(centre(o) - 0.5),
    // The middle of the input stays in the middle when the output's size was rounded. The runtime divides in float64 here.
    half_pixel_symmetric: (o) => f(f((n / 2) * f(1 - f(m / f(scale * n)))) + (o + 0.5) / scale - 0.5),
    pytorch_half_pixel: (o) => (m > 1 ? f(centre(o) - 0.5) : 0),
    tf_half_pixel_for_nn: centre,
    align_corners: (o) => (m > 1 ? f((o * (n - 1)) / (m - 1)) : 0),
    asymmetric: (o) => f(o / scale),
    tf_crop_and_resize: (o) =>
      m > 1
        ? f(f(start * (n - 1)) + f(f(f(o * f(end - start)) * (n - 1)) / (m - 1)))
        : f(0.5 * f(start + end) * (n - 1)),
  };
  const name = c.attrs.str('coordinate_transformation_mode', 'half_pixel');
  const source = modes[name];
  if (source) return source;
  throw new NorthlightError('onnx/unsupported', `Resize "${c.node.name}" has the unknown coordinate mode "${name}".`);
}

const NEAREST: Readonly<Record<string, (x: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
};

/**
 * Interpolation matrix of one axis, `[out, in]`: y = M·x. Nearest, linear and cubic (Keys 1981), at every coordinate mode.
 * With `antialias` a kernel is stretched by the factor that an axis shrinks by. A row is zero where
 * `extrapolation_value` stands.
 */
function axisMatrix(
  c: InferContext,
  n: number,
  m: number,
  scale: number,
  roi: readonly [number, number],
  { antialias, excludeOutside, crops }: { antialias: boolean; excludeOutside: boolean; crops: boolean },
): number[][] {
  const mode = c.attrs.str('mode', 'nearest');
  const a = c.attrs.float('cubic_coeff_a', -0.75);
  const source = sourceOf(c, n, m, scale, roi);
  const clamp = (i: number) => Math.min(Math.max(i, 0), n - 1);
  const cubic = (d: number) => {
    const t = Math.abs(d);
    if (t <= 1) return (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1;
    return t < 2 ? a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a : 0;
  };
  const linear = (d: number) => Math.max(0, 1 - Math.abs(d));
  const [kernel, reach] = mode === 'cubic' ? [cubic, 2] : [linear, 1];
  const stretch = antialias ? Math.max(1, 1 / scale) : 1;
  return Array.from({ length: m }, (_, o) => {
    const row = new Array<number>(n).fill(0);
    const x = source(o);
    if (crops && (x < 0 || x > n - 1)) return row;
    if (mode === 'nearest') {
      row[clamp(NEAREST[c.attrs.str('nearest_mode', 'round_prefer_floor')]!(x))] = 1;
      return row;
    }
    // Without antialiasing a linear kernel stands inside the axis; a cubic one, and any stretched one, may hang over.
    const at = mode === 'linear' && !antialias ? clamp(x) : x;
    let total = 0;
    for (let i = Math.floor(at - reach * stretch + 1); i <= Math.ceil(at + reach * stretch); i++) {
      if (excludeOutside && (antialias || mode === 'cubic') && (i < 0 || i >= n)) continue;
      const w = kernel((i - at) / stretch);
      row[clamp(i)]! += w;
      total += w;
    }
    return antialias || (excludeOutside && mode === 'cubic') ? row.map((w) => w / total) : row;
  });
}

/** ONNX `Resize`. It is linear in x, separably per axis: dx = Mᵀ·dy along each resized axis; a whole-number nearest
 * enlargement sums each block instead. */
export const resize = defineOp({
  opType: 'Resize',
  sinceVersion: 19,
  infer: (c) => [{ dtype: c.x(0).dtype, dims: planOf(c).out }],
  grad: (c) => {
    const { op, x, dy, attrs, inputs } = c;
    const { out, scales, roi } = planOf(c);
    const mode = attrs.str('mode', 'nearest');
    const coordinate = attrs.str('coordinate_transformation_mode', 'half_pixel');
    const form = {
      antialias: attrs.int('antialias', 0) === 1 && mode !== 'nearest',
      excludeOutside: attrs.int('exclude_outside', 0) === 1,
      crops: coordinate === 'tf_crop_and_resize',
    };
    const dims = x(0).dims;
    const nulls = inputs.slice(1).map(() => null);
    // Null for an axis that stays as it is; the runtime cuts nothing out of one that keeps its size.
    const matrices = dims.map((n, i) => {
      return n === out[i] && scales[i] === 1 ? null : axisMatrix(c, n, out[i]!, scales[i]!, roi[i]!, form);
    });
    if (matrices.every((m) => m === null)) return [dy, ...nulls];
    const whole = mode === 'nearest' && scales.every((s, i) => Number.isInteger(s) && out[i] === dims[i]! * s);
    const repeats =
      whole &&
      matrices.every((matrix, i) => !matrix || matrix.every((row, o) => row[Math.floor(o / scales[i]!)] === 1));
    if (repeats) {
      const blocks = dims.flatMap((d, i) => (scales[i] === 1 ? [d] : [d, scales[i]!]));
      const axes: number[] = [];
      let at = 0;
      for (const s of scales) {
        at += 1;
        if (s !== 1) axes.push(at++);
      }
      return [op.reshape(op.reduceSum(op.reshape(dy, blocks), axes, false), dims), ...nulls];
    }
    let g: Value = dy;
    dims.forEach((n, axis) => {
      const m = out[axis]!;
      const matrix = matrices[axis];
      if (!matrix || (n === m && matrix.every((row, o) => row[o] === 1))) return;
      // Bring the axis last: [..., m] · [m, n].
      const perm = [...dims.keys()].filter((i) => i !== axis).concat(axis);
      const weight = op.constant(fromNumbers(dy.dtype, [m, n], matrix.flat()));
      const moved = op.matmul(op.transpose(g, perm), weight);
      g = op.transpose(
        moved,
        perm.map((_, i) => perm.indexOf(i)),
      );
    });
    return [g, ...nulls];
  },
});
