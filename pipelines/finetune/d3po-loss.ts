/** Loss of one step of one pair, and its derivatives by the two log-ratios. */
export interface D3poLoss {
  readonly loss: number;
  readonly gradWinner: number;
  readonly gradLoser: number;
}

/**
 * D3PO's loss of one denoising step of a pair: −ln σ(β·ln ρ_w − β·ln ρ_l), ρ = π_θ / π_ref. Yang et al. 2023 (arXiv:2311.13231),
 * eq. 11, applied at every step as in its algorithm 1. A log-ratio is the difference of log-densities as a MEAN over dimensions.
 * @param ratioClip clamps ρ to 1 ± ratioClip before the logarithm (0.1 in the paper's code), where the gradient becomes zero;
 *   null leaves it free. With β = 0.1 and clip 0.1 the loss stays in [0.683164, 0.703231].
 * @param tie neither was preferred: ln 2 and no gradient.
 * @throws {RangeError} unless 0 < ratioClip < 1.
 */
export function d3poLoss(
  logRatioWinner: number,
  logRatioLoser: number,
  beta: number,
  ratioClip: number | null,
  tie = false,
): D3poLoss {
  if (ratioClip !== null && !(ratioClip > 0 && ratioClip < 1))
    throw new RangeError('A ratio clip lies between 0 and 1.');
  if (tie) return { loss: Math.LN2, gradWinner: 0, gradLoser: 0 };
  const low = ratioClip === null ? Number.NEGATIVE_INFINITY : Math.log(1 - ratioClip);
  const high = ratioClip === null ? Number.POSITIVE_INFINITY : Math.log(1 + ratioClip);
  const clamp = (v: number) => Math.min(high, Math.max(low, v));
  const inside = (v: number) => (v >= low && v <= high ? 1 : 0);

  const logit = beta * (clamp(logRatioWinner) - clamp(logRatioLoser));
  const slope = -sigmoid(-logit) * beta;
  return {
    loss: softplus(-logit),
    gradWinner: slope * inside(logRatioWinner),
    gradLoser: -slope * inside(logRatioLoser),
  };
}

/** ln(1 + eˣ) without overflow. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}
