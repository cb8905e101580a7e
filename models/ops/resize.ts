import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import { fromNumbers, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, normalizeAxis } from './define.ts';

interface ResizePlan {
  out: number[];
  scales: number[];
}

function planOf(c: InferContext): ResizePlan {
  const dims = c.x(0).dims;
  const policy = c.attrs.str('keep_aspect_ratio_policy', 'stretch');
  if (policy !== 'stretch') {
    throw new NorthlightError(
      'onnx/unsupported',
      `Resize "${c.node.name}" keeps the aspect ratio ("${policy}"), which is not supported.`,
      'Export the model with the output size written out.',
    );
  }
  const axes = c.attrs.ints('axes', [...dims.keys()]).map((a) => normalizeAxis(a, dims.length));
  const scales = c.inputs[2] ? c.constant(2) : undefined;
  const sizes = c.inputs[3] ? c.constant(3) : undefined;
  // Axes that are not named keep their size.
  const place = (values: readonly number[], rest: (axis: number) => number) =>
    dims.map((_, axis) => (axes.includes(axis) ? values[axes.indexOf(axis)]! : rest(axis)));
  if (sizes && sizes.data.length > 0) {
    const out = place(toNumbers(sizes), (axis) => dims[axis]!);
    return { out, scales: out.map((o, i) => o / dims[i]!) };
  }
  if (scales && scales.data.length > 0) {
    const s = place(toNumbers(scales), () => 1);
    return { out: dims.map((d, i) => Math.floor(d * s[i]!)), scales: s };
  }
  throw new NorthlightError(
    'onnx/dynamic-shape',
    `Resize "${c.node.name}" has a size that is only known at run time.`,
    'Give every graph input a fixed size.',
  );
}

/**
 * Interpolation matrix of one axis, `[out, in]`: y = M·x. Nearest, linear and cubic (Keys 1981) at every coordinate mode
 * but tf_crop_and_resize.
 */
function axisMatrix(c: InferContext, n: number, m: number, scale: number): number[][] {
  const mode = c.attrs.str('mode', 'nearest');
  const coordinate = c.attrs.str('coordinate_transformation_mode', 'half_pixel');
  const nearest = c.attrs.str('nearest_mode', 'round_prefer_floor');
  const a = c.attrs.float('cubic_coeff_a', -0.75);
  const source = (o: number): number => {
    switch (coordinate) {
      case 'half_pixel':
        return (o + 0.5) / scale - 0.5;
      case 'pytorch_half_pixel':
        return m > 1 ? (o + 0.5) / scale - 0.5 : 0;
      case 'align_corners':
        return m > 1 ? (o * (n - 1)) / (m - 1) : 0;
      case 'asymmetric':
        return o / scale;
      default:
        throw new NorthlightError(
          'grad/unsupported',
          `No gradient for Resize with coordinate mode "${coordinate}" at node "${c.node.name}".`,
          'Freeze the parameters upstream of it.',
        );
    }
  };
  const round: Record<string, (x: number) => number> = {
    floor: Math.floor,
    ceil: Math.ceil,
    round_prefer_floor: (x) => Math.ceil(x - 0.5),
    round_prefer_ceil: (x) => Math.floor(x + 0.5),
  };
  const clamp = (i: number) => Math.min(Math.max(i, 0), n - 1);
  return Array.from({ length: m }, (_, o) => {
    const row = new Array<number>(n).fill(0);
    const put = (i: number, w: number) => {
      row[clamp(i)]! += w;
    };
    const x = source(o);
    if (mode === 'nearest') {
      put(round[nearest]!(x), 1);
    } else if (mode === 'linear') {
      const i = Math.floor(Math.min(Math.max(x, 0), n - 1));
      const f = Math.min(Math.max(x, 0), n - 1) - i;
      put(i, 1 - f);
      put(i + 1, f);
    } else {
      const i = Math.floor(x);
      const f = x - i;
      const k = (d: number) => {
        const t = Math.abs(d);
        if (t <= 1) return (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1;
        return t < 2 ? a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a : 0;
      };
      for (let j = -1; j <= 2; j++) put(i + j, k(f - j));
    }
    return row;
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
    const { out, scales } = planOf(c);
    if (attrs.int('antialias', 0) === 1 || attrs.int('exclude_outside', 0) === 1) {
      throw new NorthlightError(
        'grad/unsupported',
        `No gradient for Resize with antialias or exclude_outside at node "${c.node.name}".`,
        'Freeze the parameters upstream of it.',
      );
    }
    const dims = x(0).dims;
    const nulls = inputs.slice(1).map(() => null);
    const coordinate = attrs.str('coordinate_transformation_mode', 'half_pixel');
    const whole =
      attrs.str('mode', 'nearest') === 'nearest' &&
      coordinate !== 'align_corners' &&
      scales.every((s) => Number.isInteger(s));
    const repeats =
      whole &&
      dims.every((n, i) =>
        axisMatrix(c, n, out[i]!, scales[i]!).every((row, o) => row[Math.floor(o / scales[i]!)] === 1),
      );
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
      const matrix = axisMatrix(c, n, m, scales[axis]!);
      if (n === m && matrix.every((row, o) => row[o] === 1)) return;
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
