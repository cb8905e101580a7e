import { NorthlightError } from '#models/errors.ts';
import { Rng } from '#models/tensor/rng.ts';
import type { MaskedSchedule } from '#pipelines/schedulers/types.ts';
import { countOf, drawReveals, fillPositions } from './masked-kernel.ts';

/** What a network is asked about one sequence. */
export interface MaskedQuery<C> {
  /** `[L]`. */
  readonly tokens: Int32Array;
  /** In [0, 1]; networks that are not conditioned on time do not look at it. */
  readonly time: number;
  readonly condition: C;
}

/** A network ready to fill in masks: guidance and conditions are already inside. */
export interface MaskedDenoiser<C> {
  /** Token id of the mask. */
  readonly maskId: number;
  /** False: what it says of a sequence is true at any time, so it may be kept for as long as the sequence stays as it is. */
  readonly timeConditioned: boolean;
  /** `log p(x₀ | x_t)` of each query, `[L, V]`, as `subsLogProbs` gives it. One query's answer never depends on the others. */
  predict(queries: readonly MaskedQuery<C>[]): Promise<Float64Array[]>;
}

/** One sequence to make. All its randomness is a function of `seed` and `index`. */
export interface MaskedRow<C> {
  readonly condition: C;
  readonly seed: number;
  readonly index: number;
  /** `[L]`: masks where something is to be made; anything else is kept. */
  readonly start: Int32Array;
}

/** After each step. Arrays are not reused. */
export interface MaskedLoopStep {
  /** 1 … total. */
  readonly step: number;
  readonly total: number;
  /** One sequence per row, masks where nothing is revealed yet. */
  readonly tokens: readonly Int32Array[];
}

/**
 * From masked to finished, through every step of a masked schedule. Which positions a step reveals does not depend on the
 * network, so they are drawn first and only sequences that will change are asked about: the saving of "cached" sampling,
 * for each sequence on its own and also for networks conditioned on time. Stop iterating to cancel.
 * @throws {NorthlightError} `sampling/not-finite`.
 */
export async function* maskedLoop<C>(
  denoiser: MaskedDenoiser<C>,
  schedule: MaskedSchedule,
  rows: readonly MaskedRow<C>[],
): AsyncGenerator<MaskedLoopStep, Int32Array[]> {
  const { maskId } = denoiser;
  const total = schedule.steps.length;
  const streams = rows.map((row) => new Rng(row.seed).fork('masked', row.index));
  const tokens = rows.map((row) => row.start);
  const times = rows.map(() => 1);
  for (const [i, step] of schedule.steps.entries()) {
    const changes: { row: number; positions: number[]; rng: Rng; query: MaskedQuery<C> }[] = [];
    for (const [n, { condition }] of rows.entries()) {
      const masked = countOf(tokens[n]!, maskId);
      if (masked === 0) continue;
      const rng = streams[n]!.fork(i);
      // The next of n reveals, all evenly spread over what is left of time.
      times[n] = step.time ?? times[n]! * rng.uniform() ** (1 / masked);
      const positions = drawReveals(step, tokens[n]!, maskId, rng);
      if (positions.length === 0) continue;
      changes.push({ row: n, positions, rng, query: { tokens: tokens[n]!, time: times[n]!, condition } });
    }
    const answers = changes.length === 0 ? [] : await denoiser.predict(changes.map((c) => c.query));
    for (const [k, { row, positions, rng, query }] of changes.entries()) {
      if (!answers[k]!.every(Number.isFinite)) throw notFinite(rows[row]!.index, i, total);
      tokens[row] = fillPositions(step, query.tokens, positions, answers[k]!, rng);
    }
    yield { step: i + 1, total, tokens: tokens.slice() };
  }
  return tokens;
}

function notFinite(index: number, i: number, total: number): NorthlightError {
  return new NorthlightError(
    'sampling/not-finite',
    `The model gave an infinite number or none for sequence ${index} at step ${i + 1} of ${total}.`,
    'Lower the guidance scale, or check the model on its own.',
  );
}
