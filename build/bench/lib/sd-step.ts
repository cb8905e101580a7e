import { importGraph } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { MachineRates } from '#models/training/estimate.ts';
import { findLoraTargets, initLora, insertLora, type LoraConfig } from '#models/training/lora.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';

export type Feeds = Readonly<Record<string, Tensor>>;

/** The projections of every attention, without the convolutions around them. */
export const ATTENTION_PROJECTIONS = { pattern: 'attn[12]\\.to_(q|k|v|out\\.0)$' };

const sizesOf = (feeds: Feeds) => Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, t.dims]));

/** The network's forward pass at the sizes of its feeds, computed in float32, weights at the width they are stored in. */
export function forwardGraph(unet: Model, feeds: Feeds): Pick<LossGraph, 'model' | 'types'> {
  const op = createBuilder();
  const net = importGraph(op, unet, { inputs: sizesOf(feeds) });
  op.output(net.outputs.get('out_sample')!, 'out_sample');
  return { model: op.toModel('forward'), types: op.values };
}

/** Adapters whose `up` is not zero, so that every gradient is there. */
export function randomAdapter(unet: Model, targets: LoraConfig['targets'], rank: number) {
  const parameters = initLora(findLoraTargets(unet, targets), { rank, alpha: rank }, new Rng(11));
  for (const [name, t] of parameters) {
    if (!name.endsWith('lora_up.weight')) continue;
    new Rng(12).fork(name).fillNormal(t.data);
    for (let i = 0; i < t.data.length; i++) t.data[i]! *= 0.02;
  }
  return parameters;
}

/** Mean square error against the feed `target`, and its gradients in the adapter; all else is frozen. */
export function loraLossGraph(
  unet: Model,
  feeds: Feeds,
  targets: LoraConfig['targets'],
  rank: number,
  memory: MemoryMode,
): LossGraph {
  const parameters = randomAdapter(unet, targets, rank);
  const op = createBuilder();
  const withAdapter = insertLora(unet, findLoraTargets(unet, targets), { rank, alpha: rank }, parameters);
  const net = importGraph(op, withAdapter, {
    inputs: sizesOf(feeds),
    role: (name) => (parameters.has(name) ? 'input' : 'frozen'),
  });
  const out = net.outputs.get('out_sample')!;
  const difference = op.sub(out, op.input('target', 'float32', out.dims));
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  const trained = [...parameters.keys()].map((name) => net.weights.get(name)!);
  return lossGraph(op, loss, trained, { name: 'lora-step', memory, kernels: 'ort' });
}

/** The feeds with a `target` of the size of the sample. */
export function withTarget(feeds: Feeds): Record<string, Tensor> {
  const { dims } = feeds.sample!;
  return { ...feeds, target: f32(dims, new Rng(8).fork('target').fillNormal(new Float32Array(numel(dims)))) };
}

/** One measurement, made in a process of its own so that its peak memory is known. */
export interface Request {
  readonly network: 'flora' | 'attention' | 'sd';
  readonly dtype: 'float32' | 'float16';
  /** `verify` runs a step with everything that must hold of it. */
  readonly kind: 'forward' | 'step' | 'verify';
  readonly memory: MemoryMode;
  readonly rounds: number;
  /** Holds the data files of the `sd` network. */
  readonly folder: string;
  readonly rates: MachineRates;
  readonly budgetBytes: number;
  readonly threads?: number;
}

export interface Answer {
  readonly createSeconds: number;
  /** Of each measured round; the first, which also reads the weights, is not among them. */
  readonly seconds: readonly number[];
  readonly peakBytes: number;
  readonly estimate: { readonly seconds: number; readonly peakBytes: number };
  /** Central difference along the gradient ÷ its norm, which should be 1. */
  readonly differenceRatio?: number;
  /** Whether an update from a saved adapter and Adam state gives the same bytes. */
  readonly resumes?: boolean;
}

export const weightFile = (dtype: Request['dtype']) => `sd15-${dtype}.weights`;
