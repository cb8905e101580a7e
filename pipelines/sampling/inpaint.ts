import { f32, type Tensor } from '#models/tensor/tensor.ts';

/**
 * What a mask `[H·W]` of pixels says of latents `[h·w]`, each of `factor`×`factor` pixels: a latent changes where any of its
 * pixels does, so that no pixel that shall change hangs on one that stays.
 */
export function latentMask(mask: Float32Array, width: number, height: number, factor: number): Float32Array {
  const [w, h] = [width / factor, height / factor];
  const out = new Float32Array(w * h);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = Math.floor(y / factor) * w + Math.floor(x / factor);
      out[at] = Math.max(out[at]!, mask[y * width + x]!);
    }
  }
  return out;
}

/**
 * The mask with a soft border outside it: falls in a straight line to 0 at `border` + 1 pixels, counted along rows and columns.
 * @returns `[H·W]`, unchanged where the mask is 1.
 */
export function feathered(mask: Float32Array, width: number, height: number, border: number): Float32Array {
  const out = mask.slice();
  const fall = 1 / (border + 1);
  const sweep = (start: number, step: number, count: number) => {
    for (let k = 1, at = start + step; k < count; k++, at += step) out[at] = Math.max(out[at]!, out[at - step]! - fall);
  };
  for (let y = 0; y < height; y++) {
    sweep(y * width, 1, width);
    sweep((y + 1) * width - 1, -1, width);
  }
  for (let x = 0; x < width; x++) {
    sweep(x, width, height);
    sweep((height - 1) * width + x, -width, height);
  }
  return out;
}

/** `made` over `original` (both `[C, H, W]`) by shares `[H·W]`: exactly the original where a share is 0. */
export function compose(made: Float32Array, original: Float32Array, shares: Float32Array): Float32Array {
  return made.map((v, i) => {
    const share = shares[i % shares.length]!;
    return share === 0 ? original[i]! : share * v + (1 - share) * original[i]!;
  });
}

/** The picture in mid-grey where the mask is 1: what networks for inpainting are shown. */
export function hidden(picture: Tensor<'float32'>, mask: Float32Array): Tensor<'float32'> {
  return f32(
    picture.dims,
    picture.data.map((v, i) => (mask[i % mask.length] === 1 ? 0 : v)),
  );
}
