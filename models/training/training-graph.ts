import { type CheckpointOptions, checkpoint } from '#models/autodiff/checkpoint.ts';
import { addGradients, fuseForward } from '#models/autodiff/grad.ts';
import type { KernelSet } from '#models/autodiff/kernels.ts';
import { recomputeCheap } from '#models/autodiff/recompute.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, TypedShape, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { lossScaleInput } from './loss-scale.ts';

/**
 * How a training graph spends memory. `flat`: every activation is kept that is dear to compute (models/autodiff/recompute.ts), and
 * every weight that had to be widened. `checkpoint`: most are computed again in the backward pass (models/autodiff/checkpoint.ts); with `keepAbove` below 0 only the weights are.
 */
export type MemoryMode =
  | { readonly kind: 'flat' }
  | ({ readonly kind: 'checkpoint' } & Pick<CheckpointOptions, 'segments' | 'keepAbove'>);

export interface LossGraph {
  /** Outputs `loss` and `grad/<parameter>`, all others that were declared before too. */
  readonly model: Model;
  readonly types: ReadonlyMap<string, TypedShape>;
  /** Names of the parameters with a gradient. */
  readonly parameters: readonly string[];
}

/**
 * Finishes a graph whose loss has been built: adds the gradients of the parameters and brings the result into the wanted
 * form. External weights stay references to the model's own file.
 * @throws {NorthlightError} `train/no-path` when the loss does not depend on a parameter.
 */
export function lossGraph(
  op: GraphBuilder,
  loss: Value,
  parameters: readonly Value[],
  options: {
    readonly name: string;
    readonly memory?: MemoryMode;
    readonly kernels?: KernelSet;
    readonly folder?: string;
    /** Leave out parameters that the loss does not depend on, instead of refusing them. */
    readonly skipUnreached?: boolean;
    /** Gradients come out multiplied by an input `loss_scale`, for graphs that compute in float16. */
    readonly scaled?: boolean;
  },
): LossGraph {
  const kernels = options.kernels ?? 'standard';
  fuseForward(op, kernels);
  const forward = new Set(op.nodes);
  const cotangent = options.scaled ? lossScaleInput(op) : op.scalar(1, loss.dtype);
  const grads = addGradients(op, [{ value: loss, cotangent }], parameters, { kernels });
  op.output(loss, 'loss');
  const reached: string[] = [];
  for (const p of parameters) {
    const g = grads.get(p.name);
    if (!g && options.skipUnreached) continue;
    if (!g) {
      throw new NorthlightError(
        'train/no-path',
        `The loss does not depend on the parameter "${p.name}".`,
        'Train only weights that the output depends on.',
      );
    }
    op.output(g, `grad/${p.name}`);
    reached.push(p.name);
  }
  const flat = op.toModel(options.name);
  if (options.folder !== undefined) flat.folder = options.folder;
  const memory = options.memory ?? { kind: 'flat' };
  const types = op.values;
  if (memory.kind === 'flat') {
    return { model: recomputeCheap({ model: flat, forward, types }), types, parameters: reached };
  }
  const { kind: _, ...how } = memory;
  return {
    model: checkpoint({ model: flat, forward, types }, { ...how, after: loss.name }),
    types,
    parameters: reached,
  };
}
