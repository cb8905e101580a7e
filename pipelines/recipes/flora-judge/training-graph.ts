import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { importTrained } from '#pipelines/recipes/weights.ts';
import { columnsOf, LAYOUT } from './layout.ts';

/**
 * Mean over the batch of the summed cross-entropies of the attributes, −Σ_k y_k · log softmax(z)_k.
 * Inputs: `image`, `target` one-hot `[B, K]`, and every weight. Outputs: `loss`, `grad/*`.
 */
export function buildJudgeTrainingGraph(judge: Model, batch: number, size: number, memory: MemoryMode): LossGraph {
  const op = createBuilder();
  const image = op.input('image', 'float32', [batch, 3, size, size]);
  const { outputs, weights } = importTrained(op, judge, { image });
  const target = op.input('target', 'float32', [batch, columnsOf(LAYOUT)]);
  const parts = op.split(
    outputs.get('logits')!,
    1,
    LAYOUT.map((a) => a.values.length),
  );
  const logProbabilities = op.concat(
    parts.map((z) => op.apply('LogSoftmax', [z], { axis: -1 })),
    1,
  );
  const loss = op.mulScalar(op.reduceSumAll(op.mul(target, logProbabilities)), -1 / batch);
  return lossGraph(op, loss, weights, { name: 'flora-judge-training', kernels: 'ort', skipUnreached: true, memory });
}
