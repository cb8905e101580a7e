import { numel } from '#models/tensor/tensor.ts';
import type { At, Chain } from './chain.ts';

/**
 * What a value network sees of a candidate, channels first: its state, and below it the sample it would become by what the denoiser has
 * already said of the state it was drawn from. No call is needed for either.
 */
export const sightDims = <S, E>({ featureDims: [channels, ...places] }: Chain<S, E>): number[] => [
  2 * channels!,
  ...places,
];

/** @param step the one that the candidate is about to take. @param before the answer about its parent. */
export function sightOf<S, E>(chain: Chain<S, E>, step: number, at: At<S>, before: E): Float32Array {
  const size = numel(chain.featureDims);
  const out = new Float32Array(2 * size);
  out.set(chain.features(step, at.state));
  const guess = chain.guess(step, at, before);
  if (guess instanceof Float32Array) out.set(guess, size);
  else for (const [i, letter] of guess.entries()) out[size + letter * guess.length + i] = 1;
  return out;
}

/** A sight as it is kept: letters are all 0 and 1, and take a bit each; numbers take two bytes. */
export type PackedSight = Uint8Array | Float16Array;

export function packSight(sight: Float32Array): PackedSight {
  if (sight.some((v) => v !== 0 && v !== 1)) return Float16Array.from(sight);
  const bits = new Uint8Array(Math.ceil(sight.length / 8));
  for (const [i, v] of sight.entries()) if (v === 1) bits[i >> 3]! |= 1 << (i & 7);
  return bits;
}

/** Writes a packed sight of `size` numbers into `out` from `offset`. */
export function unpackSight(packed: PackedSight, out: Float32Array, offset: number, size: number): void {
  if (packed instanceof Float16Array) out.set(packed, offset);
  else for (let i = 0; i < size; i++) out[offset + i] = (packed[i >> 3]! >> (i & 7)) & 1;
}
