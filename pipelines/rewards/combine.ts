import { NorthlightError } from '#models/errors.ts';
import type { Reward, RewardItem } from './types.ts';

export const COMBINATIONS = ['sum', 'krc', 'worst', 'lexicographic'] as const;
/**
 * - `sum`: Σ w·z / Σ|w| of standardised scores z.
 * - `krc`: geometric mean of quantiles, so that all must be good (Lucy-SKG, arXiv:2305.15801, eq. 2).
 * - `worst`: the lowest standardised score.
 * - `lexicographic`: the first reward decides where scores differ by tiers of one standard deviation, then the next.
 */
export type Combination = (typeof COMBINATIONS)[number];

/** What a person chooses between. */
export const COMBINATION_WORDS: Readonly<
  Record<Combination, { readonly title: string; readonly description: string }>
> = {
  sum: {
    title: 'Weighted sum',
    description: 'Each counts by its weight: a gain in one can make up for a loss in another.',
  },
  krc: {
    title: 'All good at once',
    description: 'One that is poor pulls all down: what is good in every reward wins (KRC, arXiv:2305.15801).',
  },
  worst: {
    title: 'The worst decides',
    description: 'Only the reward in which a sample does worst counts: none is given up for another.',
  },
  lexicographic: {
    title: 'In order',
    description: 'The first decides; the next one counts only between samples that are about as good in it.',
  },
};

/** What scores are compared with: mean, population standard deviation, and the scores in order. */
export interface Statistics {
  readonly mean: number;
  readonly std: number;
  readonly sorted: Float64Array;
}

export function statisticsOf(scores: ArrayLike<number>): Statistics {
  const sorted = Float64Array.from(scores).sort();
  const mean = sorted.reduce((sum, v) => sum + v, 0) / sorted.length;
  const std = Math.sqrt(sorted.reduce((sum, v) => sum + (v - mean) ** 2, 0) / sorted.length);
  return { mean, std, sorted };
}

const EPSILON = 1e-6;

/** (score − mean) / (std + 10⁻⁶). */
export const standardise = (score: number, { mean, std }: Statistics): number => (score - mean) / (std + EPSILON);

/** Share of the reference that is not better, 0…1: ties count half. */
export function quantile(score: number, { sorted }: Statistics): number {
  const [below, upTo] = [countBelow(sorted, score, false), countBelow(sorted, score, true)];
  return (below + upTo) / 2 / sorted.length;
}

function countBelow(sorted: Float64Array, score: number, inclusive: boolean): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < score || (inclusive && sorted[middle]! === score)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * s·(Π|r|^w)^(1/Σw): s is 1 where all are positive, else −1; 0 where one is 0 (arXiv:2305.15801, eq. 2, with weights).
 * Quantiles are all positive, and then this is their geometric mean.
 */
export function krc(scores: readonly number[], weights: readonly number[] = scores.map(() => 1)): number {
  if (scores.some((r) => r === 0)) return 0;
  const sign = scores.every((r) => r > 0) ? 1 : -1;
  const total = weights.reduce((sum, w) => sum + w, 0);
  return sign * Math.exp(scores.reduce((sum, r, k) => sum + weights[k]! * Math.log(Math.abs(r)), 0) / total);
}

/** Tiers per reward: 16 standard deviations, clipped. A power of two, so that the sum below is exact. */
const TIERS = 16;
/** 24 bits of a float32 hold this many. */
const MOST_LEVELS = 5;

/** A number that orders by the tier of the first z, then by that of the second, …, and last by the last z itself: 0…1. */
function lexicographic(zs: readonly number[]): number {
  return zs.reduce((sum, z, level) => {
    const place = Math.min(Math.max(z + TIERS / 2, 0), TIERS - 1e-3);
    return sum + (level === zs.length - 1 ? place : Math.floor(place)) / TIERS ** (level + 1);
  }, 0);
}

/**
 * One number per item, higher is better, from scores of several rewards.
 * @param columns scores by reward, `[rewards][items]`, higher better for positive weights.
 * @param weights may be negative. `worst` and `lexicographic` read only their signs.
 */
export function combineScores(
  combination: Combination,
  columns: readonly ArrayLike<number>[],
  weights: readonly number[],
  statistics: readonly Statistics[],
): Float32Array {
  const sizes = weights.map(Math.abs);
  const total = sizes.reduce((sum, w) => sum + w, 0);
  return Float32Array.from({ length: columns[0]?.length ?? 0 }, (_, i) => {
    const zs = columns.map((column, k) => Math.sign(weights[k]!) * standardise(column[i]!, statistics[k]!));
    if (combination === 'sum') return zs.reduce((sum, z, k) => sum + sizes[k]! * z, 0) / total;
    if (combination === 'worst') return Math.min(...zs);
    if (combination === 'lexicographic') return lexicographic(zs);
    const quantiles = columns.map((column, k) => {
      const q = quantile(column[i]!, statistics[k]!);
      return Math.max(weights[k]! < 0 ? 1 - q : q, EPSILON);
    });
    return krc(quantiles, sizes);
  });
}

/** A reward and how much it counts; a negative weight turns it around. */
export interface Weighted {
  readonly reward: Reward;
  readonly weight: number;
}

export interface CombinedReward extends Reward {
  readonly parts: readonly Weighted[];
  /** Compares with these from now on, one per part, and no longer with all that were scored: a fixed function of an item. */
  calibrate(statistics: readonly Statistics[]): void;
  /** Scores by each part as it gives them, `[parts][items]`. */
  scoreParts(items: readonly RewardItem[]): Promise<Float32Array[]>;
}

/**
 * Several rewards as one that is better when higher. Scores are compared with what it was calibrated to; without
 * that with all items scored so far, so that early scores move. One reward alone is not standardised, only weighted.
 * Closing it closes its parts.
 * @throws {NorthlightError} `reward/combine` where the parts cannot go together.
 */
export function combineRewards(parts: readonly Weighted[], combination: Combination = 'sum'): CombinedReward {
  const kinds = commonKinds(parts, combination);
  const seen: number[][] = parts.map(() => []);
  let bank: readonly Statistics[] | undefined;
  const weights = parts.map(({ reward, weight }) => (reward.higherIsBetter ? weight : -weight));
  const scoreParts = async (items: readonly RewardItem[]) => {
    const columns: Float32Array[] = [];
    for (const { reward } of parts) columns.push(await reward.score(items));
    return columns;
  };
  return {
    name: parts.map(({ reward, weight }) => (weight === 1 ? reward.name : `${reward.name}@${weight}`)).join(' + '),
    higherIsBetter: true,
    ...(kinds === undefined ? {} : { kinds }),
    parts,
    scoreParts,
    calibrate(statistics) {
      bank = statistics;
    },
    async score(items) {
      const columns = await scoreParts(items);
      if (parts.length === 1) return columns[0]!.map((score) => score * weights[0]!);
      for (const [k, column] of columns.entries()) if (bank === undefined) seen[k]!.push(...column);
      return combineScores(combination, columns, weights, bank ?? seen.map(statisticsOf));
    },
    async close() {
      await Promise.all(parts.map(({ reward }) => reward.close()));
    },
  };
}

function commonKinds(parts: readonly Weighted[], combination: Combination): Reward['kinds'] {
  const refuse = (message: string, hint: string) => new NorthlightError('reward/combine', message, hint);
  if (parts.length === 0) throw refuse('There is no reward to combine.', 'Name at least one.');
  const silent = parts.find(({ weight }) => weight === 0 || !Number.isFinite(weight));
  if (silent) {
    throw refuse(`The weight of "${silent.reward.name}" is ${silent.weight}.`, 'Give it another, or leave it out.');
  }
  if (combination === 'lexicographic' && parts.length > MOST_LEVELS) {
    throw refuse(`Lexicographic order takes at most ${MOST_LEVELS} rewards.`, 'Join the last ones: expr:…');
  }
  const known = parts.flatMap(({ reward }) => (reward.kinds === undefined ? [] : [reward]));
  if (known.length === 0) return undefined;
  const kinds = (['image', 'sequence'] as const).filter((kind) => known.every((r) => r.kinds!.includes(kind)));
  if (kinds.length > 0) return kinds;
  throw refuse(
    `Of ${known.map(({ name }) => `"${name}"`).join(', ')}, some score pictures and others sequences.`,
    'Combine rewards of one kind.',
  );
}
