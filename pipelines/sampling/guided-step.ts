import type { Clean, Decoded, DecodingStep } from './steering.ts';

/** What competed for one sample at a step. `G` is how best guesses are shown. */
export interface GuidedStep<G = Clean> {
  /** Rewards of what they would become, or, at the last step, are; empty where none were compared. */
  readonly values: readonly number[];
  /** Places of those that it went on with. */
  readonly survivors: readonly number[];
  /** Of each, the place among those of the last comparison that it comes from; null where there was none. */
  readonly parents: readonly (number | null)[];
  /** The best guess of what one of them becomes, made when asked for; null: the decoder does not know. */
  guess(place: number): G | null;
}

/** A partly finished sample in the tree of a search; parents come before their children, the root first. */
export interface GuidedPlace<G> {
  readonly parent: number | null;
  readonly step: number;
  readonly prior: number;
  readonly value: number;
  readonly visits: number;
  readonly guess: () => G | null;
}

/** Of sample `i`: the candidates of its row where it has one, or else its `n` rows. */
export function guidedStepOf({ values, chosen, rivals }: DecodingStep, i: number, n: number): GuidedStep {
  const from = i * n;
  const rows = Array.from({ length: n }, (_, k) => from + k);
  const own = rows.flatMap((row) => rivals?.(row) ?? []);
  const guess = (place: number) => own[place]?.guess() ?? null;
  if (n === 1) {
    const survivors = own.flatMap(({ wentOn }, place) => (wentOn ? [place] : []));
    return {
      values: [...values[i]!],
      survivors: survivors.length > 0 ? survivors : [chosen[i]!],
      parents: Array.from(values[i]!, (_, place) => own[place]?.parent ?? null),
      guess,
    };
  }
  const compared = rows.flatMap((row) => [...values[row]!]);
  return {
    values: compared,
    survivors: [...new Set(rows.map((row) => chosen[row]! - from))],
    parents: compared.map((_, place) => {
      const parent = own[place]?.parent ?? null;
      return parent === null ? null : parent - from;
    }),
    guess,
  };
}

/** A step with its best guesses as they are to be shown. */
export function shownStep<G>(step: GuidedStep, show: (guess: Clean) => G | null): GuidedStep<G> {
  return {
    ...step,
    guess(place) {
      const guess = step.guess(place);
      return guess === null ? null : show(guess);
    },
  };
}

/** The tree of a row, where a search kept one, with its best guesses as they are to be shown. */
export function shownTree<G>(
  { tree }: Decoded,
  row: number,
  show: (guess: Clean) => G | null,
): GuidedPlace<G>[] | null {
  return tree?.(row).map((place) => ({ ...place, guess: () => show(place.guess()) })) ?? null;
}
