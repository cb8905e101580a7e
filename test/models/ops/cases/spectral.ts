import type { GradientCase } from '#test/support/check-gradient.ts';

const dft = (
  note: string,
  x: readonly number[],
  axis: number | null,
  length: number | null,
  attributes: Record<string, number> = {},
): GradientCase => ({
  title: `DFT ${note}`,
  inputs: { x },
  linear: true,
  build: (op, v) =>
    op.apply(
      'DFT',
      [v!, length === null ? null : op.scalar(length, 'int64'), axis === null ? null : op.scalar(axis, 'int64')].slice(
        0,
        axis === null ? (length === null ? 1 : 2) : 3,
      ),
      attributes,
    ),
});

export const spectralCases: readonly GradientCase[] = [
  dft('of real rows', [2, 6, 1], 1, null),
  dft('of complex rows along the default axis', [2, 5, 2], null, null),
  dft('one-sided', [2, 6, 1], 1, null, { onesided: 1 }),
  dft('along the first axis, inverse', [6, 3, 2], 0, null, { inverse: 1 }),
  dft('padded', [2, 5, 1], 1, 8),
  dft('cut', [2, 5, 2], 1, 4),
  ...[0, 1].map(
    (onesided): GradientCase => ({
      title: `STFT with a trained window${onesided ? ', one-sided' : ''}`,
      inputs: { x: [2, 12, 1], window: [4] },
      linear: true,
      build: (op, x, window) => op.apply('STFT', [x!, op.scalar(3, 'int64'), window!], { onesided }),
    }),
  ),
  {
    title: 'STFT with a Hann window made on import',
    inputs: { x: [1, 12, 1] },
    linear: true,
    build: (op, x) =>
      op.apply('STFT', [
        x!,
        op.scalar(2, 'int64'),
        op.cast(op.apply('HannWindow', [op.scalar(6, 'int64')]), x!.dtype),
        op.scalar(6, 'int64'),
      ]),
  },
];
