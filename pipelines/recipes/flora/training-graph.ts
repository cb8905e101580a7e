import { importGraph } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { namedWeights } from './network.ts';

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
  const role = (model: Model) => {
    const names = new Set(namedWeights(model));
    return (name: string) => (names.has(name) ? ('input' as const) : ('frozen' as const));
  };
  const text = importGraph(op, textEncoder, {
    inputs: { input_ids: op.input('input_ids', 'int64', [batch, tokens]) },
    prefix: 'text_encoder.',
    role: role(textEncoder),
  });
  const context = text.outputs.get('last_hidden_state')!;
  const net = importGraph(op, unet, {
    inputs: {
      sample: op.input('sample', 'float32', [batch, 3, size, size]),
      timestep: op.input('timestep', 'int64', [batch]),
      encoder_hidden_states: context,
    },
    prefix: 'unet.',
    role: role(unet),
  });
  const out = net.outputs.get('out_sample')!;
  const target = op.input('target', 'float32', out.dims);
  const difference = op.sub(out, target);
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  const weights = [
    ...namedWeights(textEncoder).map((n) => text.weights.get(n)!),
    ...namedWeights(unet).map((n) => net.weights.get(n)!),
  ];
  return lossGraph(op, loss, weights, { name: 'flora-training', kernels: 'ort', skipUnreached: true, memory });
}
