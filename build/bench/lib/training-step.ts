import { importGraph } from '#models/autodiff/import-graph.ts';
import type { TypedShape } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64, numel, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets, initLora, insertLora } from '#models/training/lora.ts';
import { lossGraph, type MemoryMode } from '#models/training/training-graph.ts';

export interface TrainingStep {
  readonly model: Model;
  readonly types: ReadonlyMap<string, TypedShape>;
  /** The network's inputs, `target`, and the trained weights. */
  readonly feeds: Record<string, Tensor>;
}

/** Numbers for the inputs of a denoiser at one batch. */
export function denoiserFeeds(unet: Model, batch: number): Record<string, Tensor> {
  const rng = new Rng(7).fork('feeds');
  const feeds: Record<string, Tensor> = {};
  for (const { name, dtype, dims } of unet.graph.inputs) {
    const full = [batch, ...(dims ?? []).slice(1).map(Number)];
    feeds[name] =
      dtype === 'int64'
        ? i64(
            full,
            Array.from({ length: numel(full) }, (_, i) => (37 * i + 400) % 1000),
          )
        : f32(full, rng.fork(name).fillNormal(new Float32Array(numel(full))));
  }
  return feeds;
}

/** Every weight filled with small numbers: layers that start at zero would let no gradient through. */
export function withRandomWeights(model: Model): Model {
  const rng = new Rng(3).fork('weights');
  const initializers = new Map(model.graph.initializers);
  for (const [name, t] of initializers) {
    if (!name.endsWith('.weight') || 'external' in t || !(t.data as Float32Array).every((v) => v === 0)) continue;
    const data = rng.fork(name).fillNormal(new Float32Array(t.data.length));
    const bound = 0.5 / Math.sqrt(numel(t.dims) / Math.max(...t.dims.slice(0, 2)));
    initializers.set(
      name,
      f32(
        t.dims,
        data.map((v) => v * bound),
      ),
    );
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

/** Loss (mean square error) and gradients of the weights named by `trained`, which become inputs. */
export function trainingStep(
  unet: Model,
  batch: number,
  trained: ReadonlySet<string>,
  memory?: MemoryMode,
): TrainingStep {
  const op = createBuilder();
  const given = denoiserFeeds(
    { ...unet, graph: { ...unet.graph, inputs: unet.graph.inputs.filter((i) => !trained.has(i.name)) } },
    batch,
  );
  const net = importGraph(op, unet, {
    inputs: Object.fromEntries(Object.entries(given).map(([name, t]) => [name, t.dims])),
    role: (name) => (trained.has(name) ? 'input' : 'frozen'),
  });
  const out = net.outputs.values().next().value!;
  const target = op.input('target', 'float32', out.dims);
  const difference = op.sub(out, target);
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  const weights = [...trained].map((name) => net.weights.get(name)!);
  const { model, types } = lossGraph(op, loss, weights, {
    name: 'training-step',
    kernels: 'ort',
    ...(memory ? { memory } : {}),
  });
  const feeds: Record<string, Tensor> = { ...given, target: f32(out.dims, new Float32Array(numel(out.dims))) };
  for (const v of weights) feeds[v.name] = unet.graph.initializers.get(v.name) as Tensor;
  return { model, types, feeds };
}

/** Every floating weight of the network trained. */
export function fullStep(unet: Model, batch: number, memory?: MemoryMode): TrainingStep {
  return trainingStep(
    unet,
    batch,
    new Set([...unet.graph.initializers.keys()].filter((n) => /\.(weight|bias)$/.test(n))),
    memory,
  );
}

/** An adapter on every linear layer and convolution trained, the network frozen. */
export function loraStep(unet: Model, batch: number, rank: number, memory?: MemoryMode): TrainingStep {
  const targets = findLoraTargets(unet, 'all');
  const scale = { rank, alpha: rank };
  const rng = new Rng(11);
  const parameters = initLora(targets, scale, rng);
  for (const [name, t] of parameters) {
    if (name.endsWith('lora_up.weight'))
      rng
        .fork(name)
        .fillUniform(t.data)
        .forEach((v, i, a) => {
          a[i] = 0.02 * (v - 0.5);
        });
  }
  return trainingStep(insertLora(unet, targets, scale, parameters), batch, new Set(parameters.keys()), memory);
}
