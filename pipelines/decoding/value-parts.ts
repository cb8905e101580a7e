import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { fromNumbers, type Tensor } from '#models/tensor/tensor.ts';
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
    write(part, { dims, states, rewards, plain }) {
      mkdirSync(folder, { recursive: true });
      const [first] = states;
      const bits = first?.sight instanceof Uint8Array;
      const width = first?.sight.length ?? 0;
      const bytes = new Uint8Array(states.length * width * (bits ? 1 : 2));
      for (const [i, { sight }] of states.entries()) {
        bytes.set(new Uint8Array(sight.buffer, sight.byteOffset, sight.byteLength), i * sight.byteLength);
      }
      const tensors = new Map<string, Tensor>([
        [
          'sights',
          {
            dtype: bits ? 'uint8' : 'float16',
            dims: [states.length, width],
            data: bits ? bytes : new Uint16Array(bytes.buffer),
          },
        ],
        ['dims', doubles(dims)],
        ['progress', doubles(states.map((s) => s.progress))],
        ['sample', doubles(states.map((s) => s.sample))],
        ['family', doubles(states.map((s) => s.family))],
        ['went-on', doubles(states.map((s) => (s.wentOn ? 1 : 0)))],
        ['guessed', doubles(states.map((s) => s.guessed))],
        ['rewards', doubles([...rewards])],
        ['plain', doubles([...plain])],
      ]);
      writeSafetensors(pathOf(part), tensors, new Map([['identity', identity]]));
    },
  };
}

const doubles = (values: readonly number[]): Tensor => fromNumbers('float64', [values.length], values);

function parse(tensors: ReadonlyMap<string, Tensor>): ValueData {
  const of = (name: string) => tensors.get(name)!;
  const numbers = (name: string) => of(name).data as Float64Array;
  const { dims: shape, dtype, data } = of('sights');
  const [count = 0, width = 0] = shape;
  const raw = data as Uint8Array | Uint16Array;
  const all = dtype === 'float16' ? new Float16Array(raw.buffer, raw.byteOffset, raw.length) : (raw as Uint8Array);
  const states = Array.from({ length: count }, (_, i) => ({
    sight: all.subarray(i * width, (i + 1) * width),
    progress: numbers('progress')[i]!,
    sample: numbers('sample')[i]!,
    family: numbers('family')[i]!,
    wentOn: numbers('went-on')[i] === 1,
    guessed: numbers('guessed')[i]!,
  }));
  return { dims: [...numbers('dims')], states, rewards: numbers('rewards'), plain: Uint8Array.from(numbers('plain')) };
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
  let [samples, families] = [0, 0];
  const states = parts.flatMap((part) => {
    const own = part.states.map((s) => ({ ...s, sample: samples + s.sample, family: families + s.family }));
    samples += part.rewards.length;
    families += 1 + part.states.reduce((most, s) => Math.max(most, s.family), 0);
    return own;
  });
  return {
    dims,
    states,
    rewards: Float64Array.from(parts.flatMap((p) => [...p.rewards])),
    plain: Uint8Array.from(parts.flatMap((p) => [...p.plain])),
  };
}
