import { type GradientCase, normal } from '#test/support/check-gradient.ts';

const of = (note: string, dims: readonly number[]): GradientCase => ({
  title: `Det ${note}`,
  inputs: { x: dims },
  build: (op, x) => op.apply('Det', [x!]),
});

export const determinantCases: readonly GradientCase[] = [
  of('of one number', [3, 1, 1]),
  of('of 2 × 2', [2, 2]),
  of('of a batch of 3 × 3', [2, 2, 3, 3]),
  of('of 5 × 5', [5, 5]),
  {
    title: 'Det of a matrix without an inverse',
    inputs: {
      x: [
        [3, 3],
        (rng, n) => {
          const rows = normal(rng, n);
          return rows.map((v, i) => (i < 6 ? v : rows[i - 6]! + rows[i - 3]!));
        },
      ],
    },
    build: (op, x) => op.apply('Det', [x!]),
  },
];
