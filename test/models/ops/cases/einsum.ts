import { str } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

const einsum = (equation: string, ...dims: (readonly number[])[]): GradientCase => ({
  title: `Einsum ${equation}${dims.length > 0 && equation.includes('.') ? ` of ${dims.map((d) => `[${d}]`).join(' and ')}` : ''}`,
  inputs: Object.fromEntries(dims.map((d, i) => [`x${i}`, d])),
  linear: true,
  build: (op, ...xs) => op.apply('Einsum', xs, { equation: str(equation) }),
});

export const einsumCases: readonly GradientCase[] = [
  einsum('ij,jk->ik', [2, 3], [3, 4]),
  einsum('bhid,bhjd->bhij', [2, 2, 3, 4], [2, 2, 5, 4]),
  einsum('bhij,bhjd->bhid', [2, 2, 3, 5], [2, 2, 5, 4]),
  einsum('i,j->ij', [3], [4]),
  einsum('ij->ji', [2, 3]),
  einsum('ij->j', [2, 3]),
  einsum('ij,jk', [2, 3], [3, 4]),
  einsum('ij, ij -> i', [2, 3], [2, 3]),
  einsum('ij,k->k', [2, 3], [4]),
  einsum('ij,jk,kl->il', [2, 3], [3, 4], [4, 2]),
  einsum('bij,jk->bik', [2, 3, 4], [4, 5]),
  einsum('...ij,...jk->...ik', [2, 3, 4], [2, 4, 5]),
  einsum('...ij,jk->...ik', [2, 2, 3, 4], [4, 5]),
  einsum('...ij,...jk', [2, 1, 3, 4], [1, 5, 4, 2]),
  einsum('b...i,i->b...', [2, 3, 2, 4], [4]),
  einsum('...,...->...', [2, 3], [1, 3]),
  einsum('i...->...', [2, 3, 4]),
  einsum('ii->i', [3, 3]),
  einsum('ii->', [3, 3]),
  einsum('bii->b', [2, 3, 3]),
  einsum('bij,bii->bj', [2, 3, 4], [2, 3, 3]),
  einsum('...ii->...i', [2, 3, 3]),
  einsum('aB,ac->Bc', [2, 3], [2, 4]),
];
