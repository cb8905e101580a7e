import { logSumExp } from '#pipelines/decoding/weights.ts';

/** Rewards of plain samples, higher is better, apart by what was asked for: steering chooses among samples of one prompt. */
export type Groups = readonly ArrayLike<number>[];

/** Plain samples weighted by how much they are worth. */
export interface Tilt {
  readonly alpha: number;
  /** Sum 1; in the order of the groups. */
  readonly weights: Float64Array;
  /** Mean and standard deviation of the reward under the weights. */
  readonly mean: number;
  readonly std: number;
  /** Kish: 1/Σq². */
  readonly ess: number;
  /** KL(q‖p) in nats, p being the plain samples. */
  readonly kl: number;
  /** False where a few samples carry the rest: ESS below 10 or a twentieth of the samples. */
  readonly reliable: boolean;
}

export interface Quantiles {
  readonly q10: number;
  readonly q50: number;
  readonly q90: number;
}

const LEAST_ESS = 10;
const LEAST_SHARE = 0.05;

/** The effective sample size below which a preview of `samples` says little. */
export const leastEss = (samples: number): number => Math.max(LEAST_ESS, LEAST_SHARE * samples);

/**
 * The optimum of E_q[r] − α·KL(q‖p) among weights of the samples of each group: q ∝ p·exp(r/α), self-normalised; every group
 * keeps the weight it has. α = ∞ gives the plain samples.
 */
export function tilt(groups: Groups, alpha: number): Tilt {
  const parts = groups.filter((group) => group.length > 0);
  const values = Float64Array.from(parts.flatMap((group) => Array.from(group)));
  const weights = new Float64Array(values.length);
  let kl = 0;
  let at = 0;
  for (const group of parts) {
    // Less the best first, so that a constant added to the reward changes nothing.
    const best = Math.max(...Array.from(group));
    const logits = Float64Array.from(group, (r) => (r - best) / alpha);
    const total = logSumExp(logits);
    for (const logit of logits) {
      const q = Math.exp(logit - total);
      if (q > 0) kl += (q * (logit - total + Math.log(group.length))) / parts.length;
      weights[at++] = q / parts.length;
    }
  }
  const mean = weights.reduce((sum, q, i) => sum + q * values[i]!, 0);
  const ess = 1 / weights.reduce((sum, q) => sum + q * q, 0);
  return {
    alpha,
    weights,
    mean,
    std: Math.sqrt(weights.reduce((sum, q, i) => sum + q * (values[i]! - mean) ** 2, 0)),
    ess,
    kl: Math.max(kl, 0),
    reliable: ess >= leastEss(values.length),
  };
}

/** The smallest values at or below which at least a tenth, a half, nine tenths of the weight lie. */
export function quantilesOf(groups: Groups, weights: Float64Array): Quantiles {
  const values = groups.flatMap((group) => Array.from(group));
  const order = Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
  const at = (share: number) => {
    let sum = 0;
    for (const i of order) {
      sum += weights[i]!;
      // Sums of weights that are a tenth each end a little off.
      if (sum >= share - 1e-12) return values[i]!;
    }
    return values[order.at(-1)!]!;
  };
  return { q10: at(0.1), q50: at(0.5), q90: at(0.9) };
}
