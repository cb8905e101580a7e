import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { importTrained } from '#pipelines/recipes/weights.ts';

/**
 * Text encoder and UNet trained together on the mean squared error of v (Salimans and Ho 2022, arXiv:2202.00512, app. D).
 * Inputs: `sample` x_t, `timestep`, `input_ids`, `target` v, and every weight. Outputs: `loss`, `grad/*`.
 */
export function buildTrainingGraph(
  textEncoder: Model,
  unet: Model,
  batch: number,
  tokens: number,
  size: number,
  memory: MemoryMode,
): LossGraph {
  const op = createBuilder();
  const ids = op.input('input_ids', 'int64', [batch, tokens]);
  const text = importTrained(op, textEncoder, { input_ids: ids }, 'text_encoder.');
  const net = importTrained(
    op,
    unet,
    {
      sample: op.input('sample', 'float32', [batch, 3, size, size]),
      timestep: op.input('timestep', 'int64', [batch]),
      encoder_hidden_states: text.outputs.get('last_hidden_state')!,
    },
    'unet.',
  );
  const out = net.outputs.get('out_sample')!;
  const target = op.input('target', 'float32', out.dims);
  const difference = op.sub(out, target);
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  const weights = [...text.weights, ...net.weights];
  return lossGraph(op, loss, weights, { name: 'flora-training', kernels: 'ort', skipUnreached: true, memory });
}
