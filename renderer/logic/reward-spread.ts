/** Values of a reward, and of plain samples to compare with, as shares in equal bins between the lowest and the highest. */
export interface RewardSpread {
  readonly from: number;
  readonly to: number;
  readonly plain: number[];
  readonly own: number[];
}

const BINS = 20;

/** Shares of nothing are all 0. Null where there is nothing to see: fewer than two values. */
export function spreadOf(values: readonly number[], plain: readonly number[]): RewardSpread | null {
  const all = [...values, ...plain];
  if (values.length === 0 || all.length < 2) return null;
  const [from, to] = [Math.min(...all), Math.max(...all)];
  const shares = (of: readonly number[]) => {
    const bins = Array<number>(BINS).fill(0);
    for (const value of of) {
      const at = to > from ? Math.min(Math.floor(((value - from) / (to - from)) * BINS), BINS - 1) : 0;
      bins[at]! += 1 / of.length;
    }
    return bins;
  };
  return { from, to, plain: shares(plain), own: shares(values) };
}

export const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
