/** Rec. 709 luma of every pixel, 0…255, `[H·W]`, from gamma-encoded RGB bytes. */
export function lumaOf(rgb: Uint8Array): Float64Array {
  const luma = new Float64Array(rgb.length / 3);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = 0.2126 * rgb[i * 3]! + 0.7152 * rgb[i * 3 + 1]! + 0.0722 * rgb[i * 3 + 2]!;
  }
  return luma;
}
