import type { GuidanceKind } from '#models/families/family.ts';

/**
 * Classifier-free guidance: `uncond + scale·(cond − uncond)`; 1 is the conditional model, 0 the unconditional.
 * Ho and Salimans 2022 (arXiv:2207.12598), eq. 6, with the scale w of their text written as scale = 1 + w.
 */
export function combine(
  uncond: Float32Array,
  cond: Float32Array,
  scale: number,
  out: Float32Array = new Float32Array(cond.length),
): Float32Array {
  if (uncond.length !== cond.length) throw new RangeError('Guidance combines two outputs of one shape.');
  for (let i = 0; i < out.length; i++) out[i] = uncond[i]! + scale * (cond[i]! - uncond[i]!);
  return out;
}

/** Whether a sample also goes through the network with what to steer away from. */
export function needsNegative(kind: GuidanceKind, scale: number): boolean {
  if (kind === 'classifier-free') return scale !== 1;
  return kind === 'distilled' && scale > 1;
}
