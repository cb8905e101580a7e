import type { Rng } from '#models/tensor/rng.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';

/** Shares of A, C, G, T: 42 % GC, as in human DNA between genes. */
const SHARES = [0.29, 0.21, 0.21, 0.29];
/** How much rarer or more common than by chance: CpG, lost to methylation, and TpG and CpA, which it turns into. */
const PAIRS: Readonly<Record<string, number>> = { CG: 0.22, TG: 1.2, CA: 1.2 };
/** Runs of A or T. */
const TRIPLES: Readonly<Record<string, number>> = { AAA: 1.3, TTT: 1.3 };

/** Second-order Markov chain: `P(c | a, b)` at `[(4a + b) · 4 + c]`. */
export const TRANSITIONS: Float64Array = (() => {
  const out = new Float64Array(64);
  for (let pair = 0; pair < 16; pair++) {
    const before = `${BASES[pair >> 2]}${BASES[pair & 3]}`;
    const weights = [...BASES].map(
      (c, k) => SHARES[k]! * (PAIRS[`${before[1]}${c}`] ?? 1) * (TRIPLES[`${before}${c}`] ?? 1),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    for (const [k, w] of weights.entries()) out[pair * 4 + k] = w / total;
  }
  return out;
})();

/** Shares of the 16 pairs in the long run, `[4a + b]`: the chain's own start. */
export const PAIR_SHARES: Float64Array = (() => {
  let shares = new Float64Array(16).fill(1 / 16);
  for (let i = 0; i < 200; i++) {
    const next = new Float64Array(16);
    for (let pair = 0; pair < 16; pair++) {
      for (let c = 0; c < 4; c++) next[(pair & 3) * 4 + c]! += shares[pair]! * TRANSITIONS[pair * 4 + c]!;
    }
    shares = next;
  }
  return shares;
})();

/** DNA without meaning, `length` ≥ 2 letters. */
export function drawBackground(length: number, rng: Rng): string {
  const first = draw(PAIR_SHARES, 0, 16, rng.uniform());
  let sequence = `${BASES[first >> 2]}${BASES[first & 3]}`;
  let pair = first;
  while (sequence.length < length) {
    const c = draw(TRANSITIONS, pair * 4, 4, rng.uniform());
    sequence += BASES[c];
    pair = (pair & 3) * 4 + c;
  }
  return sequence;
}

function draw(probabilities: Float64Array, from: number, count: number, uniform: number): number {
  let left = uniform;
  for (let k = 0; k < count - 1; k++) {
    left -= probabilities[from + k]!;
    if (left < 0) return k;
  }
  return count - 1;
}
