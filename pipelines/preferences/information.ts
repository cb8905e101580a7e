import { gaussHermite } from './normal.ts';

const { nodes, weights } = gaussHermite(32);

/**
 * Expected information of a pair question, in bits: I(y; Δ) = H(E p) − E H(p) over the outcomes left, tie and right, where
 * Δ ~ N(mean, sd²) is the difference of utilities and ties follow Rao and Kupper with threshold δ. The side bias is left out: sides
 * are random. As BALD, Houlsby et al. 2011 (arXiv:1112.5745).
 */
export function informationBits(mean: number, sd: number, threshold: number): number {
  let meanLeft = 0;
  let meanRight = 0;
  let meanEntropy = 0;
  for (let k = 0; k < nodes.length; k++) {
    const x = mean + sd * nodes[k]!;
    const left = 1 / (1 + Math.exp(threshold - x));
    const right = 1 / (1 + Math.exp(threshold + x));
    meanLeft += weights[k]! * left;
    meanRight += weights[k]! * right;
    meanEntropy += weights[k]! * entropy(left, right);
  }
  // Rounding may leave a zero slightly negative.
  return Math.max(0, entropy(meanLeft, meanRight) - meanEntropy);
}

function entropy(left: number, right: number): number {
  return plogp(left) + plogp(right) + plogp(1 - left - right);
}

function plogp(p: number): number {
  return p > 0 ? -p * Math.log2(p) : 0;
}
