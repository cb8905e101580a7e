import { expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { solveBordered } from '#pipelines/preferences/newton.ts';

test('the bordered solver gives the step and every entry of the inverse of the whole matrix', () => {
  const rng = new Rng(4);
  const sizes = [3, 1, 2];
  const blocks = sizes.map((n) => {
    const root = Array.from({ length: n * n }, () => rng.normal());
    const hessian = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        for (let k = 0; k < n; k++) hessian[i * n + j]! += root[i * n + k]! * root[j * n + k]!;
        if (i === j) hessian[i * n + j]! += 1;
      }
    }
    const vector = () => Float64Array.from({ length: n }, () => 0.3 * rng.normal());
    return { hessian, border: vector(), gradient: vector() };
  });
  const corner = 5;
  const { steps, cornerStep, cornerVariance, covariance } = solveBordered(blocks, corner, 0.7);

  // The same matrix, written out whole.
  const places = sizes.flatMap((n, block) => Array.from({ length: n }, (_, i) => [block, i] as const));
  const entry = (r: number, c: number): number => {
    const [a, b] = [places[r], places[c]];
    if (a === undefined && b === undefined) return corner;
    if (a === undefined) return blocks[b![0]]!.border[b![1]]!;
    if (b === undefined) return blocks[a[0]]!.border[a[1]]!;
    return a[0] === b[0] ? blocks[a[0]]!.hessian[a[1] * sizes[a[0]]! + b[1]]! : 0;
  };
  const step = [...steps.flatMap((s) => [...s]), cornerStep];
  const gradient = [...blocks.flatMap((b) => [...b.gradient]), 0.7];
  for (let r = 0; r < 7; r++) {
    expect(step.reduce((sum, v, c) => sum + entry(r, c) * v, 0)).toBeCloseTo(gradient[r]!, 10);
  }
  // Matrix times inverse is the identity; the inverse's column beside the corner follows from its last row.
  for (const [j, [b, k]] of places.entries()) {
    const column = places.map(([a, i]) => covariance(a, i, b, k));
    const last = -places.reduce((sum, [a, i], c) => sum + blocks[a]!.border[i]! * column[c]!, 0) / corner;
    for (let r = 0; r < 6; r++) {
      const product = [...column, last].reduce((sum, v, c) => sum + entry(r, c) * v, 0);
      expect(product).toBeCloseTo(r === j ? 1 : 0, 10);
    }
  }
  const pull = places.map(([a, i]) =>
    places.reduce((s, [b, k]) => s + covariance(a, i, b, k) * blocks[b]!.border[k]!, 0),
  );
  const schur = places.reduce((s, [a, i], c) => s + blocks[a]!.border[i]! * pull[c]!, 0);
  // From the inverse of the corner: 1/S = 1/corner + bᵀ·C·b / corner².
  expect(cornerVariance).toBeCloseTo(1 / corner + schur / corner ** 2, 10);
});
