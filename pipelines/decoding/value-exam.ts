import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { CLOCK, clockOf } from './value-clock.ts';
import type { ValueData, ValueState } from './value-data.ts';
import { unpackSight } from './value-sight.ts';
import { correlationOf, mean } from './value-statistics.ts';
import { trustAt } from './value-trust.ts';

/** What is known of a network from samples that it did not learn from, early, midway and late. */
export interface ValueExam {
  /** Of values with final rewards, over plain samples. */
  readonly correlation: number[] | null;
  /** The same of the rewards of the model's own guesses, which cost a call each. */
  readonly guessCorrelation: number[] | null;
  /**
   * Of what choosing among candidates of one state by their guesses gains over chance, the share that choosing by values gains: 0 is
   * chance, 1 is as svdd-pm.
   */
  readonly choice: number[] | null;
}

export const NOT_EXAMINED: ValueExam = { correlation: null, guessCorrelation: null, choice: null };

/** States of one call. */
const AT_ONCE = 128;

/** What the network is given. */
export function sights(states: readonly ValueState[], dims: readonly number[]): Record<string, Tensor> {
  const size = numel(dims);
  const numbers = new Float32Array(states.length * size);
  for (const [i, { sight }] of states.entries()) unpackSight(sight, numbers, i * size, size);
  return {
    sight: f32([states.length, ...dims], numbers),
    clock: f32([states.length, CLOCK], Float32Array.from(states.flatMap((s) => [...clockOf(s.progress)]))),
  };
}

/** Tries a network on the first `tried` samples. */
export async function examine(
  model: Model,
  data: ValueData,
  tried: number,
  trust: readonly number[],
): Promise<ValueExam> {
  const states = data.states.filter((s) => s.sample < tried);
  const values = new Map<ValueState, number>();
  const session = await createSession(encodeModel(model));
  for (let from = 0; from < states.length; from += AT_ONCE) {
    const own = states.slice(from, from + AT_ONCE);
    const { value } = await session.run(sights(own, data.dims));
    for (const [i, s] of own.entries()) values.set(s, (value!.data as Float32Array)[i]! * trustAt(trust, s.progress));
  }
  await session.release();
  const thirds = [0, 1, 2].map((third) => states.filter((s) => Math.min(2, Math.floor(s.progress * 3)) === third));
  const known = thirds.map((own) => own.filter((s) => s.wentOn && data.plain[s.sample] === 1));
  const withEnds = (of: (s: ValueState) => number) =>
    known.map((own) =>
      correlationOf(
        own.map(of),
        own.map((s) => data.rewards[s.sample]!),
      ),
    );
  return {
    correlation: withEnds((s) => values.get(s)!),
    guessCorrelation: withEnds((s) => s.guessed),
    choice: thirds.map((own) => shareOfGain(own, values)),
  };
}

function shareOfGain(states: readonly ValueState[], values: ReadonlyMap<ValueState, number>): number {
  let [gained, possible] = [0, 0];
  for (const family of Map.groupBy(states, (s) => s.family).values()) {
    const guesses = family.map((s) => s.guessed);
    const average = mean(guesses);
    const chosen = family.reduce((a, b) => (values.get(b)! > values.get(a)! ? b : a));
    gained += chosen.guessed - average;
    possible += Math.max(...guesses) - average;
  }
  return possible > 0 ? gained / possible : 0;
}
