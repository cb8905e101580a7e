import type { Clean, Decoded, DecodingStep } from './steering.ts';

/** What competed for one sample at a step. `G` is how best guesses are shown. */
export interface GuidedStep<G = Clean> {
  /** Rewards of what they would become, or, at the last step, are, null where that was not asked; empty where none competed. */
  readonly values: readonly (number | null)[];
  /** Places of those that it went on with. */
  readonly survivors: readonly number[];
  /** Of each, the place among those of the last comparison that it comes from; null where there was none. */
  readonly parents: readonly (number | null)[];
  /** Place of the finished sample that the others were to replace; null: none is. */
  readonly standing: number | null;
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
export function guidedStepOf({ rivals }: Pick<DecodingStep, 'rivals'>, i: number, n: number): GuidedStep {
  const from = i * n;
  const own = Array.from({ length: n }, (_, k) => rivals?.(from + k) ?? []).flat();
  return {
    values: own.map(({ value }) => value),
    survivors: own.flatMap(({ wentOn }, place) => (wentOn ? [place] : [])),
    // Candidates of one row are places already; those of a population are rows.
    parents: own.map(({ parent }) => (parent === null || n === 1 ? parent : parent - from)),
    standing: own.some((rival) => rival.standing) ? own.findIndex((rival) => rival.standing) : null,
    guess: (place) => own[place]?.guess() ?? null,
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
