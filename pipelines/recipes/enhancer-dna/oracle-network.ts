import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { convolve } from './convolution.ts';
import { ENHANCER_LENGTH } from './enhancers.ts';
import { CELLS } from './motifs.ts';

export interface OracleConfig {
  readonly length: number;
  readonly width: number;
  /** Letters of one motif filter, odd. */
  readonly motif: number;
  /** Letters that are pooled into one position; a divisor of the length. */
  readonly pool: number;
  readonly hidden: number;
}

export const ORACLE: OracleConfig = { length: ENHANCER_LENGTH, width: 64, motif: 13, pool: 4, hidden: 64 };

/**
 * An oracle of activity: one-hot `sequence` `[B, L, 4]` → `activity` `[B, 3]`, log activity in each cell line. Motif filters, of which
 * the best match in a few letters counts; two convolutions that see how far motifs are apart; a sum over positions, which
 * counts. Both strands go through the same weights and the answers are averaged, so a sequence and its reverse complement
 * have the same activity.
 */
export function buildOracle(config: OracleConfig, seed: number): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(seed).fork('enhancer-oracle'));
  const { length, width, pool } = config;
  const sequence = op.input('sequence', 'float32', [1, length, BASES.length]);
  // With letters in the order ACGT the other strand is both axes reversed.
  const far = op.i64([-(2 ** 31), -(2 ** 31)]);
  const turned = op.apply('Slice', [sequence, op.i64([-1, -1]), far, op.i64([1, 2]), op.i64([-1, -1])]);
  const strands = op.transpose(op.concat([sequence, turned], 0), [0, 2, 1]);
  const after = length / pool;
  const near = (name: string, x: Value, dilation: number): Value =>
    l.scope(name, () => op.add2(x, l.silu(convolve(l, 'conv', l.groupNorm('norm', x, 8), width, 5, { dilation }))));

  let x = l.batchReshape(strands, [BASES.length, 1, length]);
  x = l.silu(l.groupNorm('norm', convolve(l, 'motifs', x, width, config.motif), 8));
  x = op.apply('MaxPool', [x], { kernel_shape: [1, pool], strides: [1, pool] });
  x = near('near', x, 1);
  x = near('far', x, 2);
  // A site is one of many positions: the mean alone would start almost blind to it.
  const counts = op.mulScalar(op.reduceSum(l.batchReshape(x, [width, after]), [2], false), 1 / Math.sqrt(after));
  const hidden = l.silu(l.linear('hidden', counts, config.hidden));
  const each = l.linear('activity', hidden, CELLS.length, { zero: true }); // [2B, 3]
  const pairs = op.apply('Reshape', [each, op.i64([2, -1, CELLS.length])]);
  op.output(op.reduceMean(pairs, [0], false), 'activity');
  return op.toModel('enhancer-oracle', (v) => ['batch', ...v.dims.slice(1)]);
}
