import { importGraph } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets, initLora, insertLora } from '#models/training/lora.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';

export interface SdStep extends LossGraph {
  /** Adapter weights, `up` not zero. */
  readonly parameters: Map<string, Tensor<'float32'>>;
}

const inputsOf = (unet: Model) => Object.fromEntries(unet.graph.inputs.map((i) => [i.name, i.dims as number[]]));

/** The network's forward pass computed in float32, its weights at the width they are stored in. */
export function forwardGraph(unet: Model): Model {
  const op = createBuilder();
  const net = importGraph(op, unet, { inputs: inputsOf(unet) });
  op.output(net.outputs.get('out_sample')!, 'out_sample');
  return op.toModel('forward');
}

/** Mean square error against `target` and its gradients: an adapter on the projections of every attention, all else frozen. */
export function sdLoraStep(unet: Model, rank: number, memory: MemoryMode): SdStep {
  const targets = findLoraTargets(unet, { pattern: 'attn[12]\\.to_(q|k|v|out\\.0)$' });
  const scale = { rank, alpha: rank };
  const parameters = initLora(targets, scale, new Rng(11));
  for (const [name, t] of parameters) {
    if (!name.endsWith('lora_up.weight')) continue;
    new Rng(12).fork(name).fillNormal(t.data);
    for (let i = 0; i < t.data.length; i++) t.data[i]! *= 0.02;
  }
  const op = createBuilder();
  const net = importGraph(op, insertLora(unet, targets, scale, parameters), {
    inputs: inputsOf(unet),
    role: (name) => (parameters.has(name) ? 'input' : 'frozen'),
  });
  const out = net.outputs.get('out_sample')!;
  const target = op.input('target', 'float32', out.dims);
  const difference = op.sub(out, target);
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  const trained = [...parameters.keys()].map((name) => net.weights.get(name)!);
  return { ...lossGraph(op, loss, trained, { name: 'lora-step', memory, kernels: 'ort' }), parameters };
}

/** What a step is fed besides the adapter. */
export function stepFeeds(feeds: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const { dims } = feeds.sample!;
  return { ...feeds, target: f32(dims, new Rng(8).fork('target').fillNormal(new Float32Array(numel(dims)))) };
}
