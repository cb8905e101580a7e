import type { Rng } from '#models/tensor/rng.ts';
import { logSumExp } from './weights.ts';

/** Ancestors of n particles. Unbiased: particle i has n·wᵢ children on average. */
export type Resample = (logWeights: Float64Array, rng: Rng) => Int32Array;

function normalised(logWeights: Float64Array): Float64Array {
  const total = logSumExp(logWeights);
  return logWeights.map((w) => Math.exp(w - total));
}

/** Systematic resampling: one uniform for all. Particle i has ⌊n·wᵢ⌋ or ⌈n·wᵢ⌉ children. Kitagawa 1996. */
export const systematic: Resample = (logWeights, rng) => {
  const weights = normalised(logWeights);
  const n = weights.length;
  const ancestors = new Int32Array(n);
  const offset = rng.uniform();
  let sum = 0;
  let made = 0;
  for (let i = 0; i < n; i++) {
    sum += n * weights[i]!;
    // Rounding may leave the last boundary just below n: the last particle takes what is left.
    while (made < n && (made + offset < sum || i === n - 1)) ancestors[made++] = i;
  }
  return ancestors;
};

/**
 * Srinivasan sampling process: as systematic resampling, ⌊n·wᵢ⌋ or ⌈n·wᵢ⌉ children each, with negatively associated counts.
 * Gerber, Chopin, Whiteley 2019 (arXiv:1707.01845), algorithm 3.
 */
export const ssp: Resample = (logWeights, rng) => {
  const weights = normalised(logWeights);
  const n = weights.length;
  const shares = weights.map((w) => n * w);
  const counts = shares.map(Math.floor);
  const rest = shares.map((s, i) => s - counts[i]!);
  // Two fractions at a time: one of them becomes 0 or 1.
  let a = 0;
  for (let b = 1; b < n; b++) {
    const up = Math.min(rest[b]!, 1 - rest[a]!);
    const down = Math.min(rest[a]!, 1 - rest[b]!);
    // With probability down/(up + down) the first gains `up`, else the second gains `down`.
    if (up + down > 0 && rng.uniform() * (up + down) < down) {
      rest[a]! += up;
      rest[b]! -= up;
    } else {
      rest[a]! -= down;
      rest[b]! += down;
    }
    if (rest[a]! >= 1 - 1e-12) counts[a]!++;
    // Whichever still has a fraction goes on.
    if (rest[a]! <= 1e-12 || rest[a]! >= 1 - 1e-12) a = b;
    else if (rest[b]! >= 1 - 1e-12) counts[b]!++;
  }
  let left = n - counts.reduce((sum, c) => sum + c, 0);
  if (left > 0 && a < n) {
    counts[a]! += 1;
    left--;
  }
  const ancestors = new Int32Array(n);
  let made = 0;
  for (let i = 0; i < n; i++) for (let k = 0; k < counts[i]! && made < n; k++) ancestors[made++] = i;
  return ancestors;
};
