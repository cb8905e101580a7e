import { defaultAlpha } from './alpha.ts';
import { ladder, type Rung } from './budget.ts';
import { type Groups, type Quantiles, quantilesOf, tilt } from './tilt.ts';

/** Rewards of samples in numbers. */
export interface Spread extends Quantiles {
  readonly mean: number;
  readonly std: number;
}

/** What steering with α would come to, seen on plain samples. */
export interface Preview {
  readonly samples: number;
  readonly plain: Spread;
  readonly alpha: number;
  /** Fits the spread; null where the reward does not tell plain samples apart. */
  readonly suggestedAlpha: number | null;
  readonly tilted: Spread;
  /** How much the mean grows. */
  readonly gain: number;
  readonly ess: number;
  readonly kl: number;
  /** False where a few samples carry it. */
  readonly reliable: boolean;
  /** Shares of plain and of tilted samples in equal bins between the lowest and the highest reward. */
  readonly histogram: {
    readonly from: number;
    readonly to: number;
    readonly plain: number[];
    readonly tilted: number[];
  };
  readonly ladder: Rung[];
}

const BINS = 24;

/** @param alpha null: the one that fits. */
export function preview(groups: Groups, alpha: number | null): Preview {
  const suggestedAlpha = rounded(defaultAlpha(groups));
  const used = alpha ?? suggestedAlpha ?? 1;
  const plain = tilt(groups, Number.POSITIVE_INFINITY);
  const tilted = tilt(groups, used);
  const { mean, std, ess, kl, reliable } = tilted;
  return {
    samples: tilted.weights.length,
    plain: { mean: plain.mean, std: plain.std, ...quantilesOf(groups, plain.weights) },
    alpha: used,
    suggestedAlpha,
    tilted: { mean, std, ...quantilesOf(groups, tilted.weights) },
    gain: mean - plain.mean,
    ess,
    kl,
    reliable,
    histogram: histogramOf(groups, plain.weights, tilted.weights),
    ladder: ladder(groups),
  };
}

/** As a person would write it. */
const rounded = (alpha: number | null) => (alpha === null ? null : Number(alpha.toPrecision(3)));

function histogramOf(groups: Groups, plain: Float64Array, tilted: Float64Array): Preview['histogram'] {
  const values = groups.flatMap((group) => Array.from(group));
  const [from, to] = [Math.min(...values), Math.max(...values)];
  const bins = [new Float64Array(BINS), new Float64Array(BINS)] as const;
  for (const [i, value] of values.entries()) {
    const bin = to > from ? Math.min(Math.floor(((value - from) / (to - from)) * BINS), BINS - 1) : 0;
    bins[0][bin]! += plain[i]!;
    bins[1][bin]! += tilted[i]!;
  }
  return { from, to, plain: [...bins[0]], tilted: [...bins[1]] };
}
