import { Rng } from '#models/tensor/rng.ts';
import { type BradleyTerryOptions, fitBradleyTerry } from './bradley-terry.ts';
import { type Comparison, decidedPairs } from './comparisons.ts';
import { wilsonInterval } from './wilson.ts';

export interface HeldOutAccuracy {
  /** Share of decided comparisons whose winner has the higher utility when fitted without them; an even guess is ½. */
  readonly accuracy: number;
  readonly decided: number;
  /** 95 % Wilson interval of the accuracy. */
  readonly interval: readonly [number, number];
}

/**
 * How well the fitted utilities foretell answers they have not seen, by k-fold cross-validation (fewer folds when there are fewer
 * decided comparisons). Folds depend on the seed alone. A best-of-n or a ranking counts as one comparison: the mean over its pairs.
 * Null with fewer than two decided comparisons.
 */
export function heldOutAccuracy(
  comparisons: readonly Comparison[],
  options: BradleyTerryOptions & { readonly folds?: number; readonly seed?: number } = {},
): HeldOutAccuracy | null {
  const decided = comparisons.map((c, i) => ({ i, pairs: decidedPairs(c) })).filter(({ pairs }) => pairs.length > 0);
  if (decided.length < 2) return null;
  const folds = Math.min(options.folds ?? 5, decided.length);
  const order = new Rng(options.seed ?? 0).fork('folds').shuffle(decided);
  const items = [...new Set([...(options.items ?? []), ...comparisons.flatMap((c) => c.items)])];
  let right = 0;
  for (let fold = 0; fold < folds; fold++) {
    const held = order.filter((_, place) => place % folds === fold);
    const out = new Set(held.map(({ i }) => i));
    const fit = fitBradleyTerry(
      comparisons.filter((_, i) => !out.has(i)),
      { ...options, items },
    );
    for (const { pairs } of held) {
      const scores = pairs.map(({ winner, loser }) => {
        const difference = fit.items.get(winner)!.utility - fit.items.get(loser)!.utility;
        // Below the fit's own precision it is no opinion.
        return Math.abs(difference) < 1e-9 ? 0.5 : difference > 0 ? 1 : 0;
      });
      right += scores.reduce<number>((a, b) => a + b, 0) / scores.length;
    }
  }
  return { accuracy: right / decided.length, decided: decided.length, interval: wilsonInterval(right, decided.length) };
}
