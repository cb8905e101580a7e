import type { Rng } from '#models/tensor/rng.ts';
import type { Comparison } from '#pipelines/preferences/index.ts';

export type Vote = Extract<Comparison, { type: 'pair' }> & { outcome: 'left' | 'right' | 'tie' };

/** One answer of a rater with logistic noise: left when Δ + bias + noise passes the tie threshold. */
export function answer(
  utilities: ReadonlyMap<string, number>,
  [left, right]: readonly [string, string],
  rng: Rng,
  { tieThreshold, bias }: { tieThreshold: number; bias: number },
): Vote {
  const uniform = rng.uniform();
  const felt = utilities.get(left)! - utilities.get(right)! + bias + Math.log(uniform / (1 - uniform));
  const outcome = felt > tieThreshold ? 'left' : felt < -tieThreshold ? 'right' : 'tie';
  return { type: 'pair', items: [left, right], slots: [left, right], outcome };
}

/** Answers to random pairs. */
export function simulate(
  utilities: ReadonlyMap<string, number>,
  count: number,
  rng: Rng,
  rater: { tieThreshold: number; bias: number },
): Vote[] {
  const ids = [...utilities.keys()];
  return Array.from({ length: count }, () => {
    const [left, right] = rng.shuffle(ids) as [string, string];
    return answer(utilities, [left, right], rng, rater);
  });
}
