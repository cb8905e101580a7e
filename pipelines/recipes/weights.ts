import { importGraph } from '#models/autodiff/import-graph.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';

/** The trained weights of a network built here; its constants have other names. */
export function namedWeights(model: Model): string[] {
  return [...model.graph.initializers.keys()].filter((name) => /\.(weight|bias)$/.test(name));
}

/** Their values, by `prefix` and name. */
export function weightsOf(model: Model, prefix = ''): Map<string, Tensor<'float32'>> {
  return new Map(
    namedWeights(model).map((n) => [prefix + n, model.graph.initializers.get(n) as Tensor<'float32'>] as const),
  );
}

/** The model with its named weights replaced by those of `weights`, where they are kept under `prefix` and the name. */
export function withWeights(model: Model, weights: ReadonlyMap<string, Tensor<'float32'>>, prefix = ''): Model {
  const initializers = new Map(model.graph.initializers);
  for (const name of namedWeights(model)) {
    const w = weights.get(prefix + name);
    if (w) initializers.set(name, f32(w.dims, w.data));
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

/** The network as a part of a training graph, its named weights as inputs named `prefix` and the name. */
export function importTrained(
  op: GraphBuilder,
  model: Model,
  inputs: Readonly<Record<string, Value>>,
  prefix = '',
): { readonly outputs: ReadonlyMap<string, Value>; readonly weights: readonly Value[] } {
  const names = new Set(namedWeights(model));
  const net = importGraph(op, model, { inputs, prefix, role: (name) => (names.has(name) ? 'input' : 'frozen') });
  return { outputs: net.outputs, weights: [...names].map((n) => net.weights.get(n)!) };
}
