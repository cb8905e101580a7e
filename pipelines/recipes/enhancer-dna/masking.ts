import type { Rng } from '#models/tensor/rng.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { moveChance } from '#pipelines/schedulers/masked-config.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { MASK_ID } from './network.ts';

/** The share of time, and of noise, that is left out at the clean end. */
export const EPS = 1e-3;

/**
 * Antithetic times of one batch: a single uniform, and the others evenly after it, so that every batch sees all of time.
 * t = (1 − eps)·u + eps with u_i = (u + i/B) mod 1, as in the released code of Sahoo et al. 2024 (arXiv:2406.07524).
 */
export function antitheticTimes(batch: number, uniform: number): number[] {
  return Array.from({ length: batch }, (_, i) => (1 - EPS) * ((uniform + i / batch) % 1) + EPS);
}

/** One sequence of letters to train on. */
export interface Clean {
  /** Letter numbers, `[L]`. */
  readonly letters: Uint8Array;
  /** Class number. */
  readonly label: number;
}

/**
 * Feeds of one update: each sequence at its own time t, every position masked with probability (1 − eps)·t, and the weight of the
 * loss, 1/t at the true letter of masked positions. The weight is σ′/(e^σ − 1) of the log-linear schedule: eps cancels.
 */
export function maskedFeeds(rows: readonly Clean[], times: readonly number[], rng: Rng): Record<string, Tensor> {
  const batch = rows.length;
  const length = rows[0]!.letters.length;
  const ids = new Array<number>(batch * length);
  const target = new Float32Array(batch * length * BASES.length);
  for (const [b, { letters }] of rows.entries()) {
    const time = times[b]!;
    const chance = moveChance({ eps: EPS }, time);
    for (const [i, letter] of letters.entries()) {
      const at = b * length + i;
      const masked = rng.uniform() < chance;
      ids[at] = masked ? MASK_ID : letter;
      if (masked) target[at * BASES.length + letter] = 1 / time;
    }
  }
  return {
    input_ids: i64([batch, length], ids),
    timestep: f32([batch], Float32Array.from(times)),
    class_labels: i64(
      [batch],
      rows.map((row) => row.label),
    ),
    target: f32([batch, length, BASES.length], target),
  };
}
