import type { GradientCase } from '#test/support/check-gradient.ts';
import { activationCases } from './activations.ts';
import { attentionCases } from './attention.ts';
import { contribCases } from './contrib.ts';
import { convCases } from './conv.ts';
import { determinantCases } from './determinant.ts';
import { einsumCases } from './einsum.ts';
import { elementwiseCases } from './elementwise.ts';
import { lossCases } from './losses.ts';
import { matmulCases } from './matmul.ts';
import { normalizationCases } from './normalization.ts';
import { orderCases } from './order.ts';
import { otherNormCases } from './other-norms.ts';
import { padCases } from './pad.ts';
import { poolCases } from './pool.ts';
import { quantizeCases } from './quantize.ts';
import { recurrentCases } from './recurrent.ts';
import { reduceCases } from './reduce.ts';
import { resizeCases } from './resize.ts';
import { samplingCases } from './sampling.ts';
import { scatterCases } from './scatter.ts';
import { shapeCases } from './shape.ts';
import { softmaxCases } from './softmax.ts';
import { spectralCases } from './spectral.ts';

/** Every gradient check, by the file under `models/ops` whose rules it exercises. */
export const gradientCases: Readonly<Record<string, readonly GradientCase[]>> = {
  activations: activationCases,
  attention: attentionCases,
  contrib: contribCases,
  conv: convCases,
  determinant: determinantCases,
  einsum: einsumCases,
  elementwise: elementwiseCases,
  losses: lossCases,
  matmul: matmulCases,
  normalization: normalizationCases,
  order: orderCases,
  'other-norms': otherNormCases,
  pad: padCases,
  pool: poolCases,
  quantize: quantizeCases,
  recurrent: recurrentCases,
  reduce: reduceCases,
  resize: resizeCases,
  sampling: samplingCases,
  scatter: scatterCases,
  shape: shapeCases,
  softmax: softmaxCases,
  spectral: spectralCases,
};
