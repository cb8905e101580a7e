import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type SessionOptions } from '#models/runtime/session.ts';
import { f32 } from '#models/tensor/tensor.ts';
import type { DifferentiableReward } from '#pipelines/sampling/steering.ts';

export interface DifferentiableOptions {
  /** Size of one sample as the model takes it, for example `[3, 32, 32]` or `[L, A]`. */
  readonly dims: readonly number[];
  /** Sequences: which of the V token ids each of the A letters of the model is. */
  readonly letters?: { readonly ids: readonly number[]; readonly vocabulary: number };
  readonly higherIsBetter?: boolean;
  readonly session?: SessionOptions;
}

/**
 * The gradient of an ONNX reward in its input, derived by our own rules: one float32 input `[B, …dims]`, one output `[B]` or `[B, 1]`.
 * One sample at a time, so no gradient depends on another's.
 * @throws {NorthlightError} `decode/not-differentiable`, and whatever the derivation refuses.
 */
export async function differentiableReward(
  model: Model,
  options: DifferentiableOptions,
): Promise<DifferentiableReward & { close(): Promise<void> }> {
  const { dims, letters } = options;
  const { graph } = model;
  const input = graph.inputs.find((i) => !graph.initializers.has(i.name));
  const output = graph.outputs[0];
  const refuse = (why: string) =>
    new NorthlightError('decode/not-differentiable', `The reward model ${why}.`, 'Decode by svdd-pm, smc or tree.');
  if (input === undefined || output === undefined || input.dtype !== 'float32') {
    throw refuse(`takes ${input?.dtype ?? 'nothing'}, and a gradient needs float32 numbers`);
  }
  const derived = gradientModel(model, {
    inputDims: { [input.name]: [1, ...dims] },
    wrt: [input.name],
    outputs: [output.name],
  });
  const grad = derived.gradients.get(input.name);
  if (grad === undefined) throw refuse('does not depend on its input in a way that has a gradient');
  const cotangent = derived.cotangents.get(output.name)!;
  const { dims: outputDims } = derived.model.graph.inputs.find((i) => i.name === cotangent)!;
  const seed = f32(
    (outputDims ?? []).map((d) => (typeof d === 'number' ? d : 1)),
    Float32Array.of(options.higherIsBetter === false ? -1 : 1),
  );
  const session = await createSession(encodeModel(derived.model), {
    ...options.session,
    ...(model.folder === undefined ? {} : { folder: model.folder }),
  });
  return {
    async gradient(samples) {
      const out: Float32Array[] = [];
      for (const sample of samples) {
        const own = letters ? picked(sample, letters.ids, letters.vocabulary) : sample;
        const result = await session.run({ [input.name]: f32([1, ...dims], own), [cotangent]: seed }, [grad]);
        const slope = result[grad]!.data as Float32Array;
        out.push(letters ? spreadOut(slope, letters.ids, letters.vocabulary) : slope);
      }
      return out;
    },
    close: () => session.release(),
  };
}

/** `[L, V]` → `[L, A]`. */
function picked(sample: Float32Array, ids: readonly number[], vocabulary: number): Float32Array {
  const length = sample.length / vocabulary;
  return Float32Array.from({ length: length * ids.length }, (_, n) => {
    return sample[Math.floor(n / ids.length) * vocabulary + ids[n % ids.length]!]!;
  });
}

/** `[L, A]` → `[L, V]`, zero for tokens that are no letter. */
function spreadOut(slope: Float32Array, ids: readonly number[], vocabulary: number): Float32Array {
  const length = slope.length / ids.length;
  const out = new Float32Array(length * vocabulary);
  for (let i = 0; i < length; i++) {
    for (const [a, id] of ids.entries()) out[i * vocabulary + id] = slope[i * ids.length + a]!;
  }
  return out;
}
