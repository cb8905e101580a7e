import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { f32, i64 } from '#models/tensor/tensor.ts';
import { NEVER, stepLogProb } from '#pipelines/sampling/masked-kernel.ts';
import type { MaskedSchedule } from '#pipelines/schedulers/types.ts';

/** A law of sequences of `length` letters out of `letters`; `joint` lists them in order of their digits, first position first. */
export interface ToyLaw {
  readonly letters: number;
  readonly length: number;
  readonly joint: readonly number[];
}

/** Two positions, two letters: the smallest law whose positions depend on each other. */
export const TOY_A: ToyLaw = { letters: 2, length: 2, joint: [0.4, 0.1, 0.2, 0.3] };

/** All sequences over the letters and the mask, `letters + 1` digits each; the mask is the last. */
export function statesOf({ letters, length }: ToyLaw): Int32Array[] {
  return Array.from({ length: (letters + 1) ** length }, (_, n) => digits(n, letters + 1, length));
}

function digits(n: number, base: number, length: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => Math.floor(n / base ** (length - 1 - i)) % base);
}

/** What a perfect network says of each state: log p(x_i = k | what is revealed), `[states, L, K + 1]`. */
export function perfectLogits(law: ToyLaw): number[] {
  const { letters, length, joint } = law;
  return statesOf(law).flatMap((state) => {
    const table = new Array<number>(length * (letters + 1)).fill(0);
    for (const [n, p] of joint.entries()) {
      const whole = digits(n, letters, length);
      if (!whole.every((k, i) => state[i] === letters || state[i] === k)) continue;
      for (const [i, k] of whole.entries()) table[i * (letters + 1) + k]! += p;
    }
    return table.map((v, j) => (j % (letters + 1) === letters ? 5 : v > 0 ? Math.log(v) : NEVER));
  });
}

export interface ToyOptions {
  /** Laws of classes 0, 1, …: one is a model without classes. */
  readonly laws: readonly ToyLaw[];
  /** An input for time. `effect` times what it says is added to the first letter's logits. */
  readonly time?: { readonly name: string; readonly rank: 0 | 1; readonly effect?: number };
}

/** A masked model that looks its answer up: `input_ids [B, L]` → `logits [B, L, K + 1]`, exact for every state. */
export function toyModel({ laws, time }: ToyOptions): Model {
  const [{ letters, length }] = laws as [ToyLaw];
  const b = createBuilder();
  const ids = b.input('input_ids', 'int64', [1, length]);
  const weights = Array.from({ length }, (_, i) => (letters + 1) ** (length - 1 - i));
  let state = b.apply('ReduceSum', [b.mul(ids, b.constant(i64([1, length], weights))), b.i64([1])], { keepdims: 0 });
  if (laws.length > 1) {
    const states = (letters + 1) ** length;
    state = b.add2(state, b.mul(b.input('class_labels', 'int64', [1]), b.constant(i64([], [states]))));
  }
  const table = f32([laws.length * (letters + 1) ** length, length, letters + 1], laws.flatMap(perfectLogits));
  let logits = b.gather(b.initializer('table', table), state, 0);
  if (time) {
    const t = b.input(time.name, 'float32', time.rank === 0 ? [] : [1]);
    const shaped = time.rank === 0 ? t : b.apply('Unsqueeze', [t, b.i64([1, 2])]);
    const effect = Array.from({ length: letters + 1 }, (_, k) => (k === 0 ? (time.effect ?? 0) : 0));
    logits = b.add2(logits, b.mul(shaped, b.f32([letters + 1], effect)));
  }
  b.output(logits, 'logits');
  return b.toModel('toy', (v) => (v.dims.length === 0 ? [] : ['batch', ...v.dims.slice(1)]));
}

/** Writes a folder with a {@link toyModel}; `config` and `scheduler` add to or replace keys of the two files. */
export function writeToySequenceModel(
  folder: string,
  options: ToyOptions,
  config: object = {},
  scheduler: object = {},
): string {
  const [{ letters, length }] = options.laws as [ToyLaw];
  const json = (path: string, value: object) => writeFileAtomic(join(folder, path), `${JSON.stringify(value)}\n`);
  for (const part of ['denoiser', 'scheduler']) mkdirSync(join(folder, part), { recursive: true });
  writeModel(toyModel(options), join(folder, 'denoiser', 'model.onnx'));
  json('denoiser/config.json', {
    alphabet: 'ACGT'.slice(0, letters),
    mask_token_id: letters,
    length,
    ...(options.laws.length > 1 ? { classes: options.laws.map((_, i) => `class-${i}`) } : {}),
    ...config,
  });
  json('scheduler/scheduler_config.json', {
    _class_name: 'MaskedScheduler',
    noise_schedule: 'loglinear',
    eps: 0.001,
    num_inference_steps: 4,
    ...scheduler,
  });
  json('model_index.json', {
    _class_name: 'MaskedDiffusionPipeline',
    denoiser: ['northlight', 'OnnxModel'],
    scheduler: ['northlight', 'MaskedScheduler'],
  });
  return folder;
}

/**
 * The exact law of a sampler, by going through all states: `P(x_s | x_t)` of every step, from all masked to finished.
 * @param logProbs what the network says of each state of {@link statesOf}.
 * @returns probability of each whole sequence, as in `joint`.
 */
export function exactLaw(law: ToyLaw, schedule: MaskedSchedule, logProbs: readonly Float64Array[]): number[] {
  const states = statesOf(law);
  let at: number[] = states.map((_, n) => (n === states.length - 1 ? 1 : 0));
  for (const step of schedule.steps) {
    const next = states.map(() => 0);
    for (const [n, from] of states.entries()) {
      if (at[n] === 0) continue;
      if (!from.includes(law.letters)) next[n]! += at[n]!;
      else {
        for (const [m, to] of states.entries()) {
          next[m]! += at[n]! * Math.exp(stepLogProb(step, from, to, logProbs[n]!, law.letters));
        }
      }
    }
    at = next;
  }
  return law.joint.map((_, n) => {
    const whole = digits(n, law.letters, law.length);
    return at[states.findIndex((s) => s.every((k, i) => k === whole[i]))]!;
  });
}
