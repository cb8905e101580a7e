import type { Spent } from '#models/training/estimate.ts';

/** What an estimate is made of, and what was measured. */
export interface Sample {
  readonly spent: Spent;
  readonly seconds: number;
}

export type Factors = { readonly [K in keyof Spent]: number };

const KINDS = ['products', 'convolutions', 'functions', 'passes', 'nodes'] as const;
const [LEAST, MOST] = [0.3, 3];
/** Pull towards 1, in squared relative errors: kinds that few samples tell apart stay as they are. */
const PULL = 0.02;

/** The estimate with each kind taken so many times. */
export const scaled = (spent: Spent, factors: Factors): number =>
  KINDS.reduce((sum, kind) => sum + factors[kind] * spent[kind], 0);

/** Factors that bring the estimates closest to what was measured, in relative error; by coordinate descent. */
export function fitFactors(samples: readonly Sample[]): Factors {
  const factors = { products: 1, convolutions: 1, functions: 1, passes: 1, nodes: 1 };
  const pull = PULL * Math.max(1, samples.length);
  for (let turn = 0; turn < 500; turn++) {
    for (const kind of KINDS) {
      let [against, square] = [pull, pull];
      for (const { spent, seconds } of samples) {
        const own = spent[kind] / seconds;
        const rest = scaled(spent, factors) / seconds - factors[kind] * own;
        against += own * (1 - rest);
        square += own * own;
      }
      factors[kind] = Math.min(MOST, Math.max(LEAST, against / square));
    }
  }
  return factors;
}
