/** Sobel gradients of the luma at inner pixels, `[(H − 2)·(W − 2)]` magnitudes in luma per pixel; empty below 3 × 3. */
export function gradientMagnitudes(luma: Float64Array, width: number, height: number): Float64Array {
  const result = new Float64Array(Math.max(0, width - 2) * Math.max(0, height - 2));
  let n = 0;
  for (let y = 1; y + 1 < height; y++) {
    for (let x = 1; x + 1 < width; x++) {
      const at = (dx: number, dy: number) => luma[(y + dy) * width + x + dx]!;
      const gx = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1);
      const gy = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1);
      result[n++] = Math.hypot(gx, gy) / 8;
    }
  }
  return result;
}
