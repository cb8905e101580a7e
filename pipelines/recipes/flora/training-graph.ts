import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph, trainableInitializers } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';

export interface TrainingGraph {
  readonly model: Model;
  /** Graph inputs that are trained; each has an output `grad/<name>`. */
  readonly parameters: readonly string[];
}

/**
 * Text encoder and UNet trained together on the mean squared error of v (Salimans and Ho 2022, arXiv:2202.00512, app. D).
 * Inputs: `sample` x_t, `timestep`, `input_ids`, `target` v, and every weight. Outputs: `loss`, `grad/*`.
 */
export function buildTrainingGraph(textEncoder: Model, unet: Model, batch: number, tokens: number, size: number): TrainingGraph {
  const op = createBuilder();
  const text = importGraph(op, textEncoder, { inputs: { input_ids: [batch, tokens] }, prefix: 'text_encoder.', role: roleOf(textEncoder) });
  const context = text.outputs.get('last_hidden_state')!;
  const net = importGraph(op, unet, {
    inputs: { sample: [batch, 3, size, size], timestep: [batch], encoder_hidden_states: context },
    prefix: 'unet.',
    role: roleOf(unet),
  });
  const out = net.outputs.get('out_sample')!;
  const target = op.input('target', 'float32', out.dims);
  const difference = op.sub(out, target);
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  op.output(loss, 'loss');
  const weights = [
    ...trainableInitializers(textEncoder).map((n) => text.weights.get(n)!),
    ...trainableInitializers(unet).map((n) => net.weights.get(n)!),
  ].filter((v) => !v.name.includes('/const') && !v.name.includes('.const'));
  const grads = addGradients(op, [{ value: loss, cotangent: op.scalar(1) }], weights);
  const parameters: string[] = [];
  for (const v of weights) {
    const g = grads.get(v.name);
    if (!g) continue;
    op.output(g, `grad/${v.name}`);
    parameters.push(v.name);
  }
  return { model: op.toModel('flora-training'), parameters };
}

/** Named weights are fed; the network's own constants stay constants. */
function roleOf(model: Model): (name: string) => 'input' | 'frozen' {
  const names = new Set(trainableInitializers(model).filter((n) => !n.startsWith('const')));
  return (name) => (names.has(name) ? 'input' : 'frozen');
}
