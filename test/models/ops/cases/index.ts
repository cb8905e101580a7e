import type { GradientCase } from '#test/support/check-gradient.ts';
import { contribCases } from './contrib.ts';
import { convCases } from './conv.ts';
import { elementwiseCases } from './elementwise.ts';
import { matmulCases } from './matmul.ts';
import { normalizationCases } from './normalization.ts';
import { poolCases } from './pool.ts';
import { reduceCases } from './reduce.ts';
import { resizeCases } from './resize.ts';
import { shapeCases } from './shape.ts';
import { softmaxCases } from './softmax.ts';

/** Every gradient check, by the file under `models/ops` whose rules it exercises. */
export const gradientCases: Readonly<Record<string, readonly GradientCase[]>> = {
  contrib: contribCases,
  conv: convCases,
  elementwise: elementwiseCases,
  matmul: matmulCases,
  normalization: normalizationCases,
  pool: poolCases,
  reduce: reduceCases,
  resize: resizeCases,
  shape: shapeCases,
  softmax: softmaxCases,
};
