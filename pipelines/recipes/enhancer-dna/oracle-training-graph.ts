import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { importTrained } from '#pipelines/recipes/weights.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';

/** Mean squared error of the three activities. Inputs: `sequence`, `target` `[B, 3]`, and every weight. Outputs: `loss`, `grad/*`. */
export function buildOracleTrainingGraph(oracle: Model, batch: number, length: number, memory: MemoryMode): LossGraph {
  const op = createBuilder();
  const { outputs, weights } = importTrained(op, oracle, {
    sequence: op.input('sequence', 'float32', [batch, length, BASES.length]),
  });
  const activity = outputs.get('activity')!;
  const difference = op.sub(activity, op.input('target', 'float32', activity.dims));
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  return lossGraph(op, loss, weights, {
    name: 'enhancer-oracle-training',
    kernels: 'ort',
    skipUnreached: true,
    memory,
  });
}
