/**
 * Bytes that decoding holds at its peak, per pixel: three arrays of 256 channels at full size, which is where the decoders of
 * Stable Diffusion's kind are widest.
 */
const BYTES_PER_PIXEL = 3 * 256 * 4;
/** Its attention compares all latents with all others, twice: scores and their softmax. */
const BYTES_PER_LATENT_PAIR = 2 * 4;
/**
 * What decoding may hold. A constant and not this machine's free memory: how a picture is decoded changes its last bits, and
 * the same request must give the same bytes.
 */
const BUDGET_BYTES = 3 * 2 ** 30;

/** Estimated peak of decoding `height`×`width` latents, `factor` pixels to a side of each. */
export function decodeBytes(height: number, width: number, factor: number): number {
  return height * width * factor ** 2 * BYTES_PER_PIXEL + (height * width) ** 2 * BYTES_PER_LATENT_PAIR;
}

/** Side in latents of the largest square tile, a multiple of 8, that fits the budget; null where the whole does. */
export function tileForBudget(height: number, width: number, factor: number, budget = BUDGET_BYTES): number | null {
  if (decodeBytes(height, width, factor) <= budget) return null;
  let side = 8 * Math.ceil(Math.max(height, width) / 8);
  while (side > 16 && decodeBytes(side, side, factor) > budget) side -= 8;
  return side;
}

/** Whether a session gave up for want of memory. */
export function isOutOfMemory(error: unknown): boolean {
  const text = error instanceof Error ? error.message : '';
  return /out of memory|out_of_memory|outofmemory|bad.?alloc|fail\w* to allocate|not enough memory|allocation failed/i.test(
    text,
  );
}
