import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { str } from '#models/onnx/ir.ts';
import { checkGradient, type GradientCase } from '#test/support/check-gradient.ts';

const size = fc.integer({ min: 1, max: 4 });
const runs = { numRuns: 12 };

/** Two shapes that broadcast: a full one, and one with axes dropped from the front and others shrunk to one. */
const broadcastable = fc
  .tuple(
    fc.array(size, { minLength: 1, maxLength: 4 }),
    fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
    fc.nat(4),
  )
  .map(
    ([dims, shrink, drop]) =>
      [dims, dims.map((d, i) => (shrink[i] ? 1 : d)).slice(Math.min(drop, dims.length))] as const,
  );

const expectRight = async (c: GradientCase) =>
  expect((await checkGradient({ ...c, mayVanish: true })).wrong).toEqual([]);

describe('on shapes nobody chose', () => {
  test.prop([broadcastable, fc.boolean()], runs)(
    'a product gives each factor a gradient of its own shape',
    async ([full, small], swap) => {
      await expectRight({
        title: `[${full}] × [${small}]`,
        inputs: swap ? { a: small, b: full } : { a: full, b: small },
        linear: true,
        build: (op, a, b) => op.mul(a!, b!),
      });
    },
  );

  test.prop([broadcastable, size, size, size, fc.boolean()], runs)(
    'matrices multiply over broadcast batches',
    async ([full, small], m, k, n, swap) => {
      const [left, right] = swap ? [small, full] : [full, small];
      await expectRight({
        title: `[${left}, ${m}, ${k}] · [${right}, ${k}, ${n}]`,
        inputs: { a: [...left, m, k], b: [...right, k, n] },
        linear: true,
        build: (op, a, b) => op.matmul(a!, b!),
      });
    },
  );

  const axis = fc.record({
    size: fc.integer({ min: 1, max: 7 }),
    kernel: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 2 }),
    before: fc.integer({ min: 0, max: 2 }),
    after: fc.integer({ min: 0, max: 2 }),
  });
  type Axis = typeof axis extends fc.Arbitrary<infer T> ? T : never;
  const windows = (axes: readonly Axis[]) => ({
    kernel_shape: axes.map((a) => a.kernel),
    strides: axes.map((a) => a.stride),
    dilations: axes.map((a) => a.dilation),
    pads: [...axes.map((a) => a.before), ...axes.map((a) => a.after)],
  });
  const fits = (a: Axis) => a.size + a.before + a.after >= a.dilation * (a.kernel - 1) + 1;
  const axes = (valid: (a: Axis) => boolean) => fc.array(axis.filter(valid), { minLength: 1, maxLength: 2 });
  const text = (given: readonly Axis[]) => given.map((a) => Object.values(a).join(' ')).join(' | ');

  test.prop([axes(fits), fc.integer({ min: 1, max: 2 }), size, size, size], { numRuns: 25 })(
    'a convolution of any geometry',
    async (given, group, batch, inputs, outputs) => {
      await expectRight({
        title: `Conv ${text(given)}, ${group} group(s), ${batch} × ${inputs} → ${outputs}`,
        inputs: {
          x: [batch, inputs * group, ...given.map((a) => a.size)],
          w: [outputs * group, inputs, ...given.map((a) => a.kernel)],
          b: [outputs * group],
        },
        linear: true,
        build: (op, x, w, b) => op.apply('Conv', [x!, w!, b!], { ...windows(given), group }),
      });
    },
  );

  const grows = (a: Axis) => (a.size - 1) * a.stride - a.before - a.after + a.dilation * (a.kernel - 1) + 1 >= 1;
  test.prop([axes(grows), fc.integer({ min: 1, max: 2 }), size, size, fc.nat(2)], { numRuns: 25 })(
    'a transposed convolution of any geometry',
    async (given, group, inputs, outputs, extra) => {
      await expectRight({
        title: `ConvTranspose ${text(given)}, ${group} group(s), ${inputs} → ${outputs}, extra ${extra}`,
        inputs: {
          x: [2, inputs * group, ...given.map((a) => a.size)],
          w: [inputs * group, outputs, ...given.map((a) => a.kernel)],
        },
        linear: true,
        build: (op, x, w) =>
          op.apply('ConvTranspose', [x!, w!], {
            ...windows(given),
            group,
            output_padding: given.map((a) => Math.min(extra, a.stride - 1)),
          }),
      });
    },
  );

  // A window that holds only padding has no average and no maximum.
  const covered = (a: Axis) => fits(a) && a.dilation === 1 && a.before < a.kernel && a.after < a.kernel;
  test.prop([axes(covered), fc.boolean(), fc.boolean()], { numRuns: 25 })(
    'an average over windows of any geometry',
    async (given, ceil, countPadding) => {
      await expectRight({
        title: `AveragePool ${text(given)}${ceil ? ', rounding up' : ''}${countPadding ? ', counting padding' : ''}`,
        inputs: { x: [2, 2, ...given.map((a) => a.size)] },
        linear: true,
        build: (op, x) =>
          op.apply('AveragePool', [x!], { ...windows(given), ceil_mode: ceil, count_include_pad: countPadding }),
      });
    },
  );

  const cut = fc.record({
    size: fc.integer({ min: 1, max: 6 }),
    start: fc.integer({ min: -7, max: 7 }),
    end: fc.integer({ min: -8, max: 8 }),
    step: fc.constantFrom(-3, -2, -1, 1, 2, 3),
  });
  /** Python's `range(n)[start:end:step]`, from the language reference rather than from the ONNX text. */
  const selected = ({ size: n, start, end, step }: { size: number; start: number; end: number; step: number }) => {
    const bound = (v: number) => {
      const at = v < 0 ? v + n : v;
      return step > 0 ? Math.min(Math.max(at, 0), n) : Math.min(Math.max(at, -1), n - 1);
    };
    const out: number[] = [];
    for (let i = bound(start); step > 0 ? i < bound(end) : i > bound(end); i += step) out.push(i);
    return out;
  };
  test.prop(
    [
      fc.array(
        cut.filter((c) => selected(c).length > 0),
        { minLength: 1, maxLength: 3 },
      ),
    ],
    { numRuns: 25 },
  )('a slice has the size that Python gives it, and its gradient goes where it came from', async (cuts) => {
    await expectRight({
      title: `Slice ${cuts.map((c) => `[${c.size}] ${c.start}:${c.end}:${c.step}`).join(' | ')}`,
      inputs: { x: cuts.map((c) => c.size) },
      linear: true,
      build: (op, x) => {
        const y = op.apply('Slice', [
          x!,
          op.i64(cuts.map((c) => c.start)),
          op.i64(cuts.map((c) => c.end)),
          op.i64(cuts.map((_, i) => i)),
          op.i64(cuts.map((c) => c.step)),
        ]);
        expect(y.dims).toEqual(cuts.map((c) => selected(c).length));
        return y;
      },
    });
  });

  const border = fc.record({
    size: fc.integer({ min: 2, max: 5 }),
    before: fc.integer({ min: -1, max: 4 }),
    after: fc.integer({ min: -1, max: 4 }),
  });
  /** Of what is left after cutting the runtime reflects no more than all but one, and wrapping more it reads beyond it. */
  const bordered = (mode: string) =>
    border.filter(({ size: n, before, after }) => {
      const left = n + Math.min(before, 0) + Math.min(after, 0);
      const most = mode === 'reflect' ? left - 1 : mode === 'wrap' ? left : 4;
      return left >= 1 && Math.max(before, after) <= most;
    });
  test.prop(
    [
      fc
        .constantFrom('constant', 'reflect', 'edge', 'wrap')
        .chain((mode) => fc.tuple(fc.constant(mode), fc.array(bordered(mode), { minLength: 1, maxLength: 3 }))),
    ],
    { numRuns: 40 },
  )('padding of any mode gives back what it repeated', async ([mode, given]) => {
    const pads = [...given.map((a) => a.before), ...given.map((a) => a.after)];
    await expectRight({
      title: `Pad ${mode} of [${given.map((a) => a.size)}] by [${pads}]`,
      inputs: { x: given.map((a) => a.size) },
      linear: true,
      build: (op, x) => op.apply('Pad', [x!, op.i64(pads)], { mode: str(mode) }),
    });
  });

  const resized = fc.record({
    size: fc.integer({ min: 1, max: 6 }),
    out: fc.integer({ min: 1, max: 9 }),
  });
  test.prop(
    [
      fc.tuple(resized, resized),
      fc.constantFrom('nearest', 'linear', 'cubic'),
      fc.constantFrom('half_pixel', 'half_pixel_symmetric', 'pytorch_half_pixel', 'align_corners', 'asymmetric'),
      fc.constantFrom('floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'),
      fc.boolean(),
      fc.boolean(),
    ],
    { numRuns: 60 },
  )('a resized image of any size', async ([h, w], mode, coordinate, nearest, antialias, outside) => {
    await expectRight({
      title: `Resize ${mode} ${coordinate} ${nearest} of [${h.size}, ${w.size}] to [${h.out}, ${w.out}]${antialias ? ', antialiased' : ''}${outside ? ', nothing outside' : ''}`,
      inputs: { x: [1, 2, h.size, w.size] },
      linear: true,
      build: (op, x) =>
        op.apply('Resize', [x!, null, null, op.i64([1, 2, h.out, w.out])], {
          mode: str(mode),
          coordinate_transformation_mode: str(coordinate),
          nearest_mode: str(nearest),
          antialias: mode !== 'nearest' && antialias,
          exclude_outside: mode === 'cubic' && outside,
        }),
    });
  });
});
