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
import { rewardHash } from '#pipelines/rewards/reward-hash.ts';
import type { DecodingTarget } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import type { ValueFunction } from './value.ts';
import { CLOCK, clockOf } from './value-clock.ts';
import { sightDims, sightOf } from './value-sight.ts';
import { trustAt } from './value-trust.ts';
import { countedWords } from './value-words.ts';

const thirds = z.array(z.number()).nullable();
const card = z.object({
  /** SHA-256 of the model whose states it knows. */
  modelHash: z.string(),
  /** The reward as it was asked for, and the SHA-256 of what it is: its specification with the contents of its files. */
  reward: z.string(),
  rewardHash: z.string(),
  kind: z.enum(['soft', 'mean', 'guess']).describe('soft: α·log E exp(r/α); mean: E r; guess: r(E x₀)'),
  alpha: z.number().gt(0),
  /** Shape of what it sees of a state, channels first. */
  dims: z.array(z.int().min(1)).min(1),
  hidden: z.int().min(1),
  /** Value = offset + scale·trust·output, the trust of that part of the way. */
  offset: z.number(),
  scale: z.number().gt(0),
  trust: z.array(z.number().min(0).max(1)).min(1),
  /** Samples that it learned from. */
  samples: z.int().min(1),
  /** Of samples that it did not learn from, by thirds of the way; null where there were too few. See `value-exam.ts`. */
  correlation: thirds,
  guessCorrelation: thirds,
  choice: thirds,
});
/** What a value network is for, beside its weights. */
export type ValueCard = z.output<typeof card>;

export interface ValueNetwork {
  readonly card: ValueCard;
  /** `sight [B, …dims]` and `clock [B, 3]` to `value [B, 1]`. */
  readonly model: Model;
}

/** Up to so many numbers are read as they are, without convolutions. */
const FEW = 128;
/** Pictures: convolutions halve the sides until one would be shorter than this, and at most so often. */
const SHORTEST = 4;
const MOST_HALVINGS = 4;
/** Words that are looked for, for each hidden unit. */
const WORDS_EACH = 4;
/**
 * A fresh network. What it reads of a sight does not depend on where something is; it goes with the clock through two hidden layers, and of
 * sequences past them too. Its first value is 0 for all.
 */
export function valueModel(dims: readonly number[], hidden: number, seed: number): Model {
  const op = createBuilder();
  const nn = new Layers(op, new Rng(seed).fork('weights'));
  const sight = op.input('sight', 'float32', [1, ...dims]);
  const clock = op.input('clock', 'float32', [1, CLOCK]);
  const layer = (x: Value, name: string) => nn.silu(nn.linear(name, x, hidden));
  const layers = (seen: Value) =>
    nn.linear('out', layer(layer(op.concat([seen, clock], 1), 'in'), 'mid'), 1, { zero: true });
  if (readsWords(dims)) {
    const seen = countedWords(nn, sight, WORDS_EACH * hidden);
    op.output(op.add2(layers(seen), nn.linear('counts', seen, 1, { zero: true })), 'value');
  } else {
    const few = numel(dims) <= FEW;
    const seen = few ? nn.batchReshape(sight, [numel(dims)]) : op.concat(levels(nn, sight, Math.ceil(hidden / 2)), 1);
    op.output(layers(seen), 'value');
  }
  return op.toModel('value', (v) => ['batch', ...v.dims.slice(1)]);
}

/** Whether a sight is of a sequence, and too long to be read as it is. */
export const readsWords = (dims: readonly number[]): boolean => dims.length === 2 && numel(dims) > FEW;

/** Of a picture, over all places, `[B, channels]` each: means of the sight, its squares and every level of convolutions of stride 2. */
function levels(nn: Layers, sight: Value, width: number): Value[] {
  const { op } = nn;
  const places = sight.dims.slice(2).map((_, i) => i + 2);
  const mean = (x: Value) => op.reduceMean(x, places, false);
  const out = [mean(sight), mean(op.mul(sight, sight))];
  let x = sight;
  for (let n = 0; n < MOST_HALVINGS && Math.max(...x.dims.slice(2)) / 2 >= SHORTEST; n++) {
    const kernel = places.map(() => 3);
    const bound = Math.sqrt(3 / (x.dims[1]! * numel(kernel)));
    const weight = nn.weight(`conv${n}.weight`, [width, x.dims[1]!, ...kernel], bound);
    const pad = places.map(() => 1);
    const options = { pads: [...pad, ...pad], strides: places.map(() => 2) };
    x = nn.silu(op.conv(x, weight, nn.weight(`conv${n}.bias`, [width], 0), options));
    // Largest values over all places of a noisy picture are mostly noise: only means are taken.
    out.push(mean(x));
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
 * @throws {NorthlightError} `value/missing`, `value/card`, `value/other-model`, `value/other-reward`, `value/changed-reward`, and
 *   `session/…`; {@link LoadedValues.of} throws `value/shape`.
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
  if (own.rewardHash !== rewardHash(reward)) {
    throw new NorthlightError(
      'value/changed-reward',
      `The files of the reward "${reward}" have changed since the value network in ${folder} was trained for it.`,
      'Train one for the reward as it is now, put the old files back, or decode by svdd-pm, which needs none.',
    );
  }
  const session = await createSession(join(folder, 'value.onnx'), options);
  return {
    card: own,
    of: (chain) => {
      const seen = sightDims(chain);
      if (seen.join() !== own.dims.join()) throw wrongShape(folder, own.dims, seen);
      return {
        asksNetwork: false,
        async values(step, at, _, before = []) {
          const size = numel(own.dims);
          const sights = new Float32Array(at.length * size);
          const progress = step / chain.steps;
          const clock = Float32Array.from(at.flatMap(() => [...clockOf(progress)]));
          for (const [i, candidate] of at.entries()) sights.set(sightOf(chain, step, candidate, before[i]!), i * size);
          const { value } = await session.run({
            sight: f32([at.length, ...own.dims], sights),
            clock: f32([at.length, CLOCK], clock),
          });
          const scale = own.scale * trustAt(own.trust, progress);
          return Float64Array.from(value!.data as Float32Array, (v) => own.offset + scale * v);
        },
      };
    },
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
    `The value network in ${folder} reads ${expected.join(' × ')} numbers; of these samples it would have ${found.join(' × ')}.`,
    'Use it for samples of the size and length it was trained on.',
  );
