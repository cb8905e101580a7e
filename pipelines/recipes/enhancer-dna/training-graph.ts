import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { importTrained } from '#pipelines/recipes/weights.ts';

/**
 * The continuous-time bound of masked diffusion, Sahoo et al. 2024 (arXiv:2406.07524), with the log-linear schedule:
 * −1/(B·L) Σ weight · log softmax(logits)[x₀], weight 1/t at masked positions and 0 at others. There is no column for the mask,
 * so the softmax is the SUBS one already. Inputs: `input_ids` x_t, `timestep`, `class_labels`, `target` `[B, L, 4]` the weight at the
 * true letter, and every network weight. Outputs: `loss`, `grad/*`.
 */
export function buildDenoiserTrainingGraph(
  denoiser: Model,
  batch: number,
  length: number,
  memory: MemoryMode,
): LossGraph {
  const op = createBuilder();
  const { outputs, weights } = importTrained(op, denoiser, {
    input_ids: op.input('input_ids', 'int64', [batch, length]),
    timestep: op.input('timestep', 'float32', [batch]),
    class_labels: op.input('class_labels', 'int64', [batch]),
  });
  const logits = outputs.get('logits')!;
  const target = op.input('target', 'float32', logits.dims);
  const logProbs = op.apply('LogSoftmax', [logits], { axis: -1 });
  const loss = op.mulScalar(op.reduceSumAll(op.mul(target, logProbs)), -1 / (batch * length));
  return lossGraph(op, loss, weights, { name: 'enhancer-training', kernels: 'ort', skipUnreached: true, memory });
}
