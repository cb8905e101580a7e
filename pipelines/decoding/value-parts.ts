import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, fromNumbers, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { ValueData } from './value-data.ts';

/**
 * States that were collected, a file for every few samples, so that collecting goes on where it was stopped.
 * @param identity of what makes them: model, reward, settings.
 */
export interface ValueParts {
  /** @throws {NorthlightError} `value/other-data` for states of something else. */
  read(part: number): ValueData | null;
  write(part: number, data: ValueData): void;
}

export function openValueParts(folder: string, identity: string): ValueParts {
  const pathOf = (part: number) => join(folder, `${String(part).padStart(4, '0')}.safetensors`);
  return {
    read(part) {
      const path = pathOf(part);
      if (!existsSync(path)) return null;
      const { tensors, metadata } = readSafetensors(path);
      if (metadata.get('identity') === identity) return parse(tensors);
      throw new NorthlightError(
        'value/other-data',
        `${path} holds states of another model, reward or setting.`,
        'Choose another folder with --out, or remove that one.',
      );
    },
    write(part, { dims, states, rewards }) {
      mkdirSync(folder, { recursive: true });
      const size = numel(dims);
      const features = new Float32Array(states.length * size);
      for (const [i, s] of states.entries()) features.set(s.features, i * size);
      const tensors = new Map<string, Tensor>([
        ['features', f32([states.length, ...dims], features)],
        ['progress', doubles(states.map((s) => s.progress))],
        ['guessed', doubles(states.map((s) => s.guessed))],
        [
          'sample',
          f32(
            [states.length],
            Float32Array.from(states, (s) => s.sample),
          ),
        ],
        ['rewards', doubles([...rewards])],
      ]);
      writeSafetensors(pathOf(part), tensors, new Map([['identity', identity]]));
    },
  };
}

const doubles = (values: readonly number[]): Tensor => fromNumbers('float64', [values.length], values);

function parse(tensors: ReadonlyMap<string, Tensor>): ValueData {
  const of = (name: string) => tensors.get(name)!;
  const [count = 0, ...dims] = of('features').dims;
  const size = numel(dims);
  const features = of('features').data as Float32Array;
  const states = Array.from({ length: count }, (_, i) => ({
    features: features.subarray(i * size, (i + 1) * size),
    progress: Number(of('progress').data[i]),
    sample: Number(of('sample').data[i]),
    guessed: Number(of('guessed').data[i]),
  }));
  return { dims, states, rewards: of('rewards').data as Float64Array };
}

/**
 * Parts as one.
 * @throws {NorthlightError} `value/shape` for states of different sizes.
 */
export function joinedParts(parts: readonly ValueData[]): ValueData {
  const [first] = parts;
  const dims = first?.dims ?? [];
  const odd = parts.find((p) => p.dims.join() !== dims.join());
  if (odd) {
    throw new NorthlightError(
      'value/shape',
      `Some states have ${dims.join(' × ')} numbers and others ${odd.dims.join(' × ')}, and a value network reads one size.`,
      'Make samples of one length or size.',
    );
  }
  let before = 0;
  const states = parts.flatMap((part) => {
    const from = before;
    before += part.rewards.length;
    return part.states.map((s) => ({ ...s, sample: from + s.sample }));
  });
  return { dims, states, rewards: Float64Array.from(parts.flatMap((p) => [...p.rewards])) };
}
