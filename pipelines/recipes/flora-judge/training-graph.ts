import { importGraph } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { namedWeights } from '#pipelines/recipes/flora/network.ts';
import { columnsOf, LAYOUT } from './layout.ts';

/**
 * Mean over the batch of the summed cross-entropies of the attributes, −Σ_k y_k · log softmax(z)_k.
 * Inputs: `image`, `target` one-hot `[B, K]`, and every weight. Outputs: `loss`, `grad/*`.
 */
export function buildJudgeTrainingGraph(judge: Model, batch: number, size: number, memory: MemoryMode): LossGraph {
  const op = createBuilder();
  const names = new Set(namedWeights(judge));
  const net = importGraph(op, judge, {
    inputs: { image: op.input('image', 'float32', [batch, 3, size, size]) },
    role: (name) => (names.has(name) ? 'input' : 'frozen'),
  });
  const target = op.input('target', 'float32', [batch, columnsOf(LAYOUT)]);
  const parts = op.split(
    net.outputs.get('logits')!,
    1,
    LAYOUT.map((a) => a.values.length),
  );
  const logProbabilities = op.concat(
    parts.map((z) => op.apply('LogSoftmax', [z], { axis: -1 })),
    1,
  );
  const loss = op.mulScalar(op.reduceSumAll(op.mul(target, logProbabilities)), -1 / batch);
  const weights = [...names].map((n) => net.weights.get(n)!);
  return lossGraph(op, loss, weights, { name: 'flora-judge-training', kernels: 'ort', skipUnreached: true, memory });
}
