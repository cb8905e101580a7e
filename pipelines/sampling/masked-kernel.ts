import type { Rng } from '#models/tensor/rng.ts';
import type { MaskedStep } from '#pipelines/schedulers/types.ts';

/**
 * Log-probability of what cannot be. Finite, as in the released MDLM code: p·(log p − log q) stays a number where both models
 * rule something out.
 */
export const NEVER = -1e6;

/**
 * What a network's numbers mean: `log p(x₀ | x_t)` per position, `[L, V]`, V token ids with the mask among them. The mask
 * (and whatever else is never written) gets {@link NEVER}, positions already revealed are certain. Sahoo et al. 2024
 * (arXiv:2406.07524), section 3.2.3 (SUBS). Logits and log-probabilities give the same.
 * @param logits `[L, V]`, minus infinity allowed.
 * @param written token ids that a sequence may hold.
 */
export function subsLogProbs(
  logits: ArrayLike<number>,
  tokens: Int32Array,
  maskId: number,
  written: readonly number[],
): Float64Array {
  const size = logits.length / tokens.length;
  const out = new Float64Array(logits.length).fill(NEVER);
  for (const [i, token] of tokens.entries()) {
    const row = i * size;
    if (token !== maskId) {
      out[row + token] = 0;
      continue;
    }
    let max = Number.NEGATIVE_INFINITY;
    for (const k of written) max = Math.max(max, logits[row + k]!);
    let sum = 0;
    for (const k of written) sum += Math.exp(logits[row + k]! - max);
    const total = max + Math.log(sum);
    // Written so that a NaN stays one.
    for (const k of written) out[row + k] = Math.max(logits[row + k]! - total, NEVER);
  }
  return out;
}

/**
 * Classifier-free guidance of log-probabilities, `uncond + scale·(cond − uncond)`, normalised again at each position.
 * @param uncond and `cond`: `[L, V]` of {@link subsLogProbs}, for the same tokens.
 */
export function guidedLogProbs(uncond: Float64Array, cond: Float64Array, scale: number, size: number): Float64Array {
  const out = new Float64Array(cond.length);
  for (let row = 0; row < out.length; row += size) {
    let max = Number.NEGATIVE_INFINITY;
    for (let k = row; k < row + size; k++) {
      // What the conditional model rules out stays so: the difference of two constants says nothing.
      out[k] = cond[k]! <= NEVER ? NEVER : uncond[k]! + scale * (cond[k]! - uncond[k]!);
      max = Math.max(max, out[k]!);
    }
    let sum = 0;
    for (let k = row; k < row + size; k++) sum += Math.exp(out[k]! - max);
    const total = max + Math.log(sum);
    for (let k = row; k < row + size; k++) if (cond[k]! > NEVER) out[k] = Math.max(NEVER, out[k]! - total);
  }
  return out;
}

/**
 * `P(x_s | x_t)` at each position, `[L, V]`, rows summing to one: the mask stays with probability 1 − reveal, else the token
 * is one of the network's. Positions are independent of one another, except that `one` reveals exactly one of them.
 */
export function stepKernel(step: MaskedStep, tokens: Int32Array, logProbs: Float64Array, maskId: number): Float64Array {
  const size = logProbs.length / tokens.length;
  const out = new Float64Array(logProbs.length);
  const reveal = step.reveal === 'one' ? 1 / countOf(tokens, maskId) : step.reveal;
  for (const [i, token] of tokens.entries()) {
    const row = i * size;
    if (token !== maskId) {
      out[row + token] = 1;
      continue;
    }
    if (step.fill === 'argmax') out[row + likeliest(logProbs, row, size)] = reveal;
    else for (let k = 0; k < size; k++) out[row + k] = reveal * Math.exp(logProbs[row + k]!);
    out[row + maskId] = 1 - reveal;
  }
  return out;
}

/**
 * `log P(x_s | x_t)` of one whole step; minus infinity when the step cannot lead from `tokens` to `next`. The choice of
 * positions is part of it.
 */
export function stepLogProb(
  step: MaskedStep,
  tokens: Int32Array,
  next: Int32Array,
  logProbs: Float64Array,
  maskId: number,
): number {
  const size = logProbs.length / tokens.length;
  let sum = 0;
  let revealed = 0;
  for (const [i, token] of tokens.entries()) {
    const to = next[i]!;
    if (token !== maskId) {
      if (to !== token) return Number.NEGATIVE_INFINITY;
    } else if (to !== maskId) {
      revealed++;
      if (step.fill === 'sample') sum += logProbs[i * size + to]!;
      else if (to !== likeliest(logProbs, i * size, size)) return Number.NEGATIVE_INFINITY;
    }
  }
  const masked = countOf(tokens, maskId);
  if (step.reveal === 'one') return revealed === 1 ? sum - Math.log(masked) : Number.NEGATIVE_INFINITY;
  if (revealed > 0) sum += revealed * Math.log(step.reveal);
  if (revealed < masked) sum += (masked - revealed) * Math.log1p(-step.reveal);
  return sum;
}

/**
 * Which masked positions a step reveals, ascending. What the network said plays no part, so candidates of one step may share
 * the draw. One uniform per position, masked or not: the same stream reveals the same positions of another model's sample.
 */
export function drawReveals(step: MaskedStep, tokens: Int32Array, maskId: number, rng: Rng): number[] {
  const out: number[] = [];
  if (step.reveal === 'one') {
    for (const [i, token] of tokens.entries()) if (token === maskId) out.push(i);
    return out.length === 0 ? out : [rng.pick(out)];
  }
  for (const [i, token] of tokens.entries()) if (rng.uniform() < step.reveal && token === maskId) out.push(i);
  return out;
}

/** The sequence with `positions` filled in, each drawn in float64 with one uniform; `argmax` takes the lowest id of a tie. */
export function fillPositions(
  step: MaskedStep,
  tokens: Int32Array,
  positions: readonly number[],
  logProbs: Float64Array,
  rng: Rng,
): Int32Array {
  const size = logProbs.length / tokens.length;
  const next = tokens.slice();
  for (const i of positions) {
    next[i] =
      step.fill === 'argmax' ? likeliest(logProbs, i * size, size) : draw(logProbs, i * size, size, rng.uniform());
  }
  return next;
}

function draw(logProbs: Float64Array, row: number, size: number, uniform: number): number {
  let left = uniform;
  for (let k = 0; k < size; k++) {
    left -= Math.exp(logProbs[row + k]!);
    if (left < 0) return k;
  }
  // Rounding left a little over: the likeliest token takes it.
  return likeliest(logProbs, row, size);
}

function likeliest(logProbs: Float64Array, row: number, size: number): number {
  let best = 0;
  for (let k = 1; k < size; k++) if (logProbs[row + k]! > logProbs[row + best]!) best = k;
  return best;
}

/** How many positions hold `token`. */
export function countOf(tokens: Int32Array, token: number): number {
  let n = 0;
  for (const t of tokens) if (t === token) n++;
  return n;
}
