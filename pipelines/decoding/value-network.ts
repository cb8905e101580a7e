import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type SessionOptions } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import type { DecodingTarget } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import type { ValueFunction } from './value.ts';

const card = z.object({
  /** SHA-256 of the model whose states it knows. */
  modelHash: z.string(),
  /** Name of the reward. */
  reward: z.string(),
  kind: z.enum(['soft', 'mean']).describe('soft: α·log E exp(r/α); mean: E r'),
  alpha: z.number().gt(0),
  features: z.int().min(1),
  hidden: z.int().min(1),
  /** Value = offset + scale·output. */
  offset: z.number(),
  scale: z.number().gt(0),
});
/** What a value network is for, beside its weights. */
export type ValueCard = z.output<typeof card>;

export interface ValueNetwork {
  readonly card: ValueCard;
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
}

/** Progress of a state about to take a step, as the network sees it: share of the steps, and two waves over them. */
const CLOCK = 3;
export function clockOf(step: number, steps: number): readonly [number, number, number] {
  const t = step / steps;
  return [t, Math.sin(Math.PI * t), Math.cos(Math.PI * t)];
}

/** Shapes of the weights: two hidden layers. */
export function weightDims(features: number, hidden: number): ReadonlyMap<string, readonly number[]> {
  return new Map([
    ['in.weight', [features + CLOCK, hidden]],
    ['in.bias', [hidden]],
    ['mid.weight', [hidden, hidden]],
    ['mid.bias', [hidden]],
    ['out.weight', [hidden, 1]],
    ['out.bias', [1]],
  ]);
}

/** `[B, features + 3]` → `[B, 1]`; SiLU between the layers. */
export function valueGraph(op: GraphBuilder, x: Value, weight: (name: string) => Value): Value {
  const layer = (input: Value, name: string) => op.gemm(input, weight(`${name}.weight`), weight(`${name}.bias`));
  const silu = (a: Value) => op.mul(a, op.sigmoid(a));
  return layer(silu(layer(silu(layer(x, 'in')), 'mid')), 'out');
}

/** The network as a model of its own: `state [B, features + 3]` → `value [B, 1]`. */
export function valueModel({ card: { features }, weights }: ValueNetwork): Model {
  const op = createBuilder();
  const x = op.input('state', 'float32', [1, features + CLOCK]);
  op.output(
    valueGraph(op, x, (name) => op.initializer(name, weights.get(name)!)),
    'value',
  );
  return op.toModel('value', (v) => ['batch', ...v.dims.slice(1)]);
}

/** Writes `value.onnx` and `value.json`. */
export function saveValueNetwork(folder: string, network: ValueNetwork): void {
  mkdirSync(folder, { recursive: true });
  writeModel(valueModel(network), join(folder, 'value.onnx'));
  writeFileAtomic(join(folder, 'value.json'), `${JSON.stringify(network.card, null, 2)}\n`);
}

export interface LoadedValues {
  readonly card: ValueCard;
  /** Values of states by the network alone: the denoiser is not asked. SVDD-MC, Li et al. 2024 (arXiv:2408.08252), algorithm 3. */
  of<S, E>(chain: Chain<S, E>): ValueFunction<S, E>;
  close(): Promise<void>;
}

/**
 * A trained value network.
 * @param target what is to be steered, and by what.
 * @throws {NorthlightError} `value/missing`, `value/card`, `value/other-model`, `value/other-reward`, and `session/…`; asking it throws `value/shape`.
 */
export async function loadValueNetwork(
  folder: string,
  { modelHash, reward }: DecodingTarget,
  options: SessionOptions = {},
): Promise<LoadedValues> {
  const own = readCard(join(folder, 'value.json'));
  if (own.modelHash !== modelHash) {
    throw new NorthlightError(
      'value/other-model',
      `The value network in ${folder} was trained for another model (${own.modelHash.slice(0, 12)}, not ${modelHash.slice(0, 12)}).`,
      'Train one for this model, or decode by svdd-pm, which needs none.',
    );
  }
  if (own.reward !== reward) {
    throw new NorthlightError(
      'value/other-reward',
      `The value network in ${folder} was trained for the reward "${own.reward}", not for "${reward}".`,
      'Train one for this reward, or decode by svdd-pm, which needs none.',
    );
  }
  const session = await createSession(join(folder, 'value.onnx'), options);
  return {
    card: own,
    of: (chain) => ({
      asksNetwork: false,
      async values(step, at) {
        const size = own.features + CLOCK;
        const input = new Float32Array(at.length * size);
        for (const [i, { state }] of at.entries()) {
          const features = chain.features(state);
          if (features.length !== own.features) throw wrongShape(folder, own.features, features.length);
          input.set(features, i * size);
          input.set(clockOf(step, chain.steps), i * size + own.features);
        }
        const { value } = await session.run({ state: f32([at.length, size], input) });
        return Float64Array.from(value!.data as Float32Array, (v) => own.offset + own.scale * v);
      },
    }),
    close: () => session.release(),
  };
}

function readCard(path: string): ValueCard {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new NorthlightError(
      'value/missing',
      `${path} cannot be read.`,
      'Name the folder of a trained value network.',
      {
        cause,
      },
    );
  }
  try {
    return card.parse(JSON.parse(text));
  } catch (cause) {
    throw new NorthlightError('value/card', `${path} does not describe a value network.`, 'Train it again.', { cause });
  }
}

const wrongShape = (folder: string, expected: number, found: number) =>
  new NorthlightError(
    'value/shape',
    `The value network in ${folder} reads states of ${expected} numbers; these have ${found}.`,
    'Use it for samples of the size and length it was trained on.',
  );
