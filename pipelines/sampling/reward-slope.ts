import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type SessionOptions } from '#models/runtime/session.ts';
import { f32 } from '#models/tensor/tensor.ts';
import type { DifferentiableReward } from './steering.ts';

/** A gradient that holds a session. */
export interface RewardSlope extends DifferentiableReward {
  close(): Promise<void>;
}

/**
 * A reward of samples from a reward of what they become: `sample [1, …dims]` to `score []`.
 * @param become what a reward looks at, as an expression.
 * @param reward for what there is to look at: `item`, of that shape, to `score []`.
 */
export function rewardOfSample(
  dims: readonly number[],
  become: (op: GraphBuilder, sample: Value) => Value,
  reward: (item: Value) => Model,
): Model {
  const op = createBuilder();
  const item = become(op, op.input('sample', 'float32', [1, ...dims]));
  const model = reward(item);
  const { outputs } = importGraph(op, model, { inputs: { item }, prefix: 'reward/' });
  op.output(outputs.get('score')!, 'score');
  return op.toModel('reward');
}

/**
 * Values and gradients of a reward, one input `[1, …dims]` to `score []`, by our own rules of differentiation. One sample at a time, so none
 * depends on another.
 * @throws {NorthlightError} `decode/not-differentiable` where nothing of the sample reaches the score or something on the way has no
 *   derivative.
 */
export async function openSlope(model: Model, options: SessionOptions = {}): Promise<RewardSlope> {
  const { name, dims: declared } = model.graph.inputs[0]!;
  const dims = declared as readonly number[];
  const derived = derive(model, name, dims);
  const grad = derived.gradients.get(name);
  if (grad === undefined) throw notDifferentiable('does not depend on the sample in a way that has a gradient');
  const cotangent = derived.cotangents.get('score')!;
  const session = await createSession(encodeModel(derived.model), {
    ...options,
    ...(model.folder === undefined ? {} : { folder: model.folder }),
  });
  const run = (sample: Float32Array, wanted: readonly string[]) =>
    session.run({ [name]: f32(dims, sample), [cotangent]: f32([], Float32Array.of(1)) }, wanted);
  return {
    async values(samples) {
      const out = new Float64Array(samples.length);
      for (const [i, sample] of samples.entries()) out[i] = Number((await run(sample, ['score'])).score!.data[0]);
      return out;
    },
    async gradient(samples, _, values) {
      const out: Float32Array[] = [];
      for (const [i, sample] of samples.entries()) {
        const { score, [grad]: slope } = await run(sample, values ? [grad, 'score'] : [grad]);
        if (values) values[i] = Number(score!.data[0]);
        out.push(slope!.data as Float32Array);
      }
      return out;
    },
    close: () => session.release(),
  };
}

function derive(model: Model, name: string, dims: readonly number[]) {
  try {
    return gradientModel(model, { inputDims: { [name]: dims }, wrt: [name], outputs: ['score'] });
  } catch (cause) {
    if (!(cause instanceof NorthlightError)) throw cause;
    throw notDifferentiable(`cannot be differentiated: ${cause.message}`, cause);
  }
}

export const notDifferentiable = (why: string, cause?: unknown): NorthlightError =>
  new NorthlightError(
    'decode/not-differentiable',
    `The reward ${why.replace(/\.$/, '')}.`,
    'Decode by svdd-pm, which needs its value only.',
    { cause },
  );
