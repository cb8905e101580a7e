import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { isFloat } from '#models/tensor/tensor.ts';
import { addGradients } from './grad.ts';
import { importGraph, trainableInitializers } from './import-graph.ts';
import type { KernelSet } from './kernels.ts';
import type { Compute } from './precision.ts';

export interface GradientModel {
  /** The model with one extra input `cotangent/<output>` per differentiated output and one output `grad/<name>` per name. */
  readonly model: Model;
  /** Output → the input that takes its cotangent: `cotangent/<output>`, or `cotangent2/…` in the gradient of a gradient. */
  readonly cotangents: ReadonlyMap<string, string>;
  /** Name in `wrt` → the output that gives its gradient: `grad/<name>`, or `grad2/…`; without those in `noPath`. */
  readonly gradients: ReadonlyMap<string, string>;
  readonly wrt: readonly string[];
  /** Names in `wrt` that no path connects to an output: their gradient is zero and has no graph output. */
  readonly noPath: readonly string[];
}

/**
 * The vector–Jacobian product of any ONNX model, as an ONNX model.
 * @param options.inputDims size of every graph input.
 * @param options.wrt initialisers or float graph inputs; `'all'`: every floating-point initialiser of rank ≥ 1 with a path
 *   to an output, and every float graph input.
 * @param options.outputs differentiated outputs; default: every float output.
 * @param options.compute what 16-bit floats are computed in; default float32. Gradients of weights are float32 in any case.
 */
export function gradientModel(
  model: Model,
  options: {
    inputDims: Readonly<Record<string, readonly number[]>>;
    wrt: readonly string[] | 'all';
    outputs?: readonly string[];
    /** Operators the result may be made of. */
    kernels?: KernelSet;
    compute?: Compute;
  },
): GradientModel {
  const op = createBuilder();
  const all = options.wrt === 'all';
  const candidates: readonly string[] =
    options.wrt === 'all'
      ? [
          ...trainableInitializers(model),
          ...model.graph.inputs
            .filter((i) => isFloat(i.dtype) && !model.graph.initializers.has(i.name))
            .map((i) => i.name),
        ]
      : options.wrt;
  const wanted = new Set(candidates);
  const imported = importGraph(op, model, {
    inputs: options.inputDims,
    role: (name) => (wanted.has(name) ? 'opaque' : 'frozen'),
    ...(options.compute ? { compute: options.compute } : {}),
  });
  const values = candidates.map((name) => {
    const v = imported.weights.get(name) ?? imported.inputs.get(name);
    if (!v)
      throw new NorthlightError(
        'grad/no-such-name',
        `The model has no initialiser or input named "${name}".`,
        'List them with: northlight graph inspect FILE.onnx',
      );
    return v;
  });
  const outputs = [...imported.outputs].filter(([name, v]) =>
    options.outputs ? options.outputs.includes(name) : isFloat(v.dtype),
  );
  for (const name of options.outputs ?? []) {
    if (!imported.outputs.has(name))
      throw new NorthlightError('grad/no-such-name', `The model has no output named "${name}".`);
  }
  const order = freeOrder(
    model,
    outputs.map(([name]) => name),
    candidates,
  );
  const cotangents = new Map(outputs.map(([name]) => [name, `cotangent${order}/${name}`]));
  const gradients = new Map(candidates.map((name) => [name, `grad${order}/${name}`]));
  for (const name of [...imported.outputs.keys(), ...gradients.values()]) op.reserve(name);
  const seeds = outputs.map(([name, value]) => ({
    value,
    cotangent: op.input(cotangents.get(name)!, value.dtype, value.dims),
  }));
  const grads = addGradients(op, seeds, values, { kernels: options.kernels ?? 'standard' });
  const noPath: string[] = [];
  for (const [name, v] of imported.outputs) op.output(v, name);
  values.forEach((v, i) => {
    const name = candidates[i]!;
    const g = grads.get(v.name);
    if (g) op.output(g, gradients.get(name)!);
    else {
      noPath.push(name);
      gradients.delete(name);
    }
  });
  const wrt = all ? candidates.filter((n) => !noPath.includes(n) || imported.inputs.has(n)) : candidates;
  const result = op.toModel(`${model.graph.name}/gradient`);
  if (model.folder !== undefined) result.folder = model.folder;
  if (model.linkedFolder !== undefined) result.linkedFolder = model.linkedFolder;
  return { model: result, cotangents, gradients, wrt, noPath: noPath.filter((n) => wrt.includes(n)) };
}

/** '' for a model; 2, 3, … for one that has cotangents and gradients of its own. */
function freeOrder(model: Model, outputs: readonly string[], wrt: readonly string[]): string {
  const { graph } = model;
  const taken = new Set([
    ...graph.inputs.map((i) => i.name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap((n) => n.outputs),
  ]);
  for (let order = 1; ; order++) {
    const tag = order === 1 ? '' : String(order);
    const clash =
      outputs.some((n) => taken.has(`cotangent${tag}/${n}`)) || wrt.some((n) => taken.has(`grad${tag}/${n}`));
    if (!clash) return tag;
  }
}
