import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { Layers } from '#models/families/layers.ts';
import { writeFileAtomic } from '#models/files.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type SessionOptions } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel } from '#models/tensor/tensor.ts';
import type { DecodingTarget } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import type { ValueFunction } from './value.ts';

const card = z.object({
  /** SHA-256 of the model whose states it knows. */
  modelHash: z.string(),
  /** Name of the reward. */
  reward: z.string(),
  kind: z.enum(['soft', 'mean', 'guess']).describe('soft: α·log E exp(r/α); mean: E r; guess: r(E x₀)'),
  alpha: z.number().gt(0),
  /** Shape of a state, channels first. */
  dims: z.array(z.int().min(1)).min(1),
  hidden: z.int().min(1),
  /** Value = offset + scale·output. */
  offset: z.number(),
  scale: z.number().gt(0),
  /** Samples that it learned from. */
  samples: z.int().min(1),
  /** Of values and rewards of samples that it did not learn from, by thirds of the way; null where there were too few. */
  correlation: z.array(z.number()).nullable(),
});
/** What a value network is for, beside its weights. */
export type ValueCard = z.output<typeof card>;

export interface ValueNetwork {
  readonly card: ValueCard;
  /** `state [B, …dims]` and `clock [B, 3]` to `value [B, 1]`. */
  readonly model: Model;
}

/** Progress of a state about to take a step, as the network sees it: share of the steps, and two waves over them. */
export const CLOCK = 3;
export function clockOf(progress: number): readonly [number, number, number] {
  return [progress, Math.sin(Math.PI * progress), Math.cos(Math.PI * progress)];
}

/** Up to so many numbers of a state are read as they are, without convolutions. */
const FEW = 64;
/** Convolutions halve the sides until one would be shorter than this, and at most so often. */
const SHORTEST = 4;
const MOST_HALVINGS = 4;

/**
 * A fresh network. States are looked at by convolutions of stride 2, each level taken together over all places, so that what is said
 * does not depend on where something is; with the clock, through two hidden layers. Its first value is 0 for all.
 */
export function valueModel(dims: readonly number[], hidden: number, seed: number): Model {
  const op = createBuilder();
  const nn = new Layers(op, new Rng(seed).fork('weights'));
  const state = op.input('state', 'float32', [1, ...dims]);
  const clock = op.input('clock', 'float32', [1, CLOCK]);
  const size = numel(dims);
  const seen = size <= FEW ? nn.batchReshape(state, [size]) : op.concat(levels(nn, state, Math.ceil(hidden / 2)), 1);
  const layer = (x: Value, name: string) => nn.silu(nn.linear(name, x, hidden));
  op.output(nn.linear('out', layer(layer(op.concat([seen, clock], 1), 'in'), 'mid'), 1, { zero: true }), 'value');
  return op.toModel('value', (v) => ['batch', ...v.dims.slice(1)]);
}

/** Over all places, `[B, channels]` each: means of the state, its squares and every level of convolutions, and of sequences the largest. */
function levels(nn: Layers, state: Value, width: number): Value[] {
  const { op } = nn;
  const places = state.dims.slice(2).map((_, i) => i + 2);
  const mean = (x: Value) => op.reduceMean(x, places, false);
  const largest = (x: Value) => op.apply('ReduceMax', [x, op.i64(places)], { keepdims: 0 });
  const out = [mean(state), mean(op.mul(state, state))];
  // Letters are read in words; of pictures, neighbours.
  const side = places.length === 1 ? 7 : 3;
  let x = state;
  for (let n = 0; n < MOST_HALVINGS && Math.max(...x.dims.slice(2)) / 2 >= SHORTEST; n++) {
    const kernel = places.map(() => side);
    const bound = Math.sqrt(3 / (x.dims[1]! * numel(kernel)));
    const weight = nn.weight(`conv${n}.weight`, [width, x.dims[1]!, ...kernel], bound);
    const pad = places.map(() => (side - 1) / 2);
    const options = { pads: [...pad, ...pad], strides: places.map(() => 2) };
    x = nn.silu(op.conv(x, weight, nn.weight(`conv${n}.bias`, [width], 0), options));
    out.push(mean(x));
    // A word anywhere counts; in a noisy picture the largest is mostly noise.
    if (places.length === 1) out.push(largest(x));
  }
  return out;
}

/** Writes `value.onnx` and `value.json`. */
export function saveValueNetwork(folder: string, network: ValueNetwork): void {
  mkdirSync(folder, { recursive: true });
  writeModel(network.model, join(folder, 'value.onnx'));
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
 * @throws {NorthlightError} `value/missing`, `value/card`, `value/other-model`, `value/other-reward`, and `session/…`; asking it throws
 *   `value/shape`.
 */
export async function loadValueNetwork(
  folder: string,
  { modelHash, reward }: DecodingTarget,
  options: SessionOptions = {},
): Promise<LoadedValues> {
  const own = readValueCard(folder);
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
        const size = numel(own.dims);
        const states = new Float32Array(at.length * size);
        const clock = new Float32Array(at.length * CLOCK);
        for (const [i, { state }] of at.entries()) {
          const features = chain.features(step, state);
          if (features.length !== size) throw wrongShape(folder, own.dims, chain.featureDims);
          states.set(features, i * size);
          clock.set(clockOf(step / chain.steps), i * CLOCK);
        }
        const { value } = await session.run({
          state: f32([at.length, ...own.dims], states),
          clock: f32([at.length, CLOCK], clock),
        });
        return Float64Array.from(value!.data as Float32Array, (v) => own.offset + own.scale * v);
      },
    }),
    close: () => session.release(),
  };
}

/** What a value network is for. @throws {NorthlightError} `value/missing`, `value/card`. */
export function readValueCard(folder: string): ValueCard {
  const path = join(folder, 'value.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new NorthlightError('value/missing', `${path} cannot be read.`, 'Train one with: northlight value train', {
      cause,
    });
  }
  try {
    return card.parse(JSON.parse(text));
  } catch (cause) {
    throw new NorthlightError('value/card', `${path} does not describe a value network.`, 'Train it again.', { cause });
  }
}

const wrongShape = (folder: string, expected: readonly number[], found: readonly number[]) =>
  new NorthlightError(
    'value/shape',
    `The value network in ${folder} reads states of ${expected.join(' × ')} numbers; these have ${found.join(' × ')}.`,
    'Use it for samples of the size and length it was trained on.',
  );
