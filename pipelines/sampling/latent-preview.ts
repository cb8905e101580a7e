import type { ImageModel } from '#models/families/family.ts';
import { tensorToRgb } from '#pipelines/images/images.ts';

export interface PreviewPicture {
  /** `[H, W, 3]` */
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/**
 * Red, green and blue (−1…1) of each latent channel and of a latent of zeros, fitted to what the decoder makes of them, as ComfyUI
 * publishes them (comfy/latent_formats.py).
 */
const COLOURS = {
  sd: {
    factors: [
      [0.3512, 0.2297, 0.3227],
      [0.325, 0.4974, 0.235],
      [-0.2829, 0.1762, 0.2721],
      [-0.212, -0.2616, -0.7177],
    ],
    zero: [0, 0, 0],
  },
  xl: {
    factors: [
      [0.3651, 0.4232, 0.4341],
      [-0.2533, -0.0042, 0.1068],
      [0.1076, 0.1111, -0.0362],
      [-0.3165, -0.2492, -0.2188],
    ],
    zero: [0.1084, -0.0175, -0.0011],
  },
} as const;

/** SDXL's autoencoder has another latent space than Stable Diffusion's; its scaling factor tells. */
const XL_SCALING = 0.13025;

/**
 * A sample as a small picture, without running the decoder: itself where samples are pictures, one pixel per latent element
 * in the latent spaces whose colours are known. Null for others.
 */
export function latentPreview(
  model: ImageModel,
  sample: Float32Array,
  [channels, height, width]: readonly [number, number, number],
): PreviewPicture | null {
  if (!model.vae) return { rgb: tensorToRgb(sample, width, height), width, height };
  if (channels !== 4) return null;
  const { factors, zero } = Math.abs(model.vae.scalingFactor - XL_SCALING) < 1e-4 ? COLOURS.xl : COLOURS.sd;
  const plane = width * height;
  const picture = new Float32Array(3 * plane);
  for (const [k, value] of zero.entries()) picture.fill(value, k * plane, (k + 1) * plane);
  for (const [c, rgb] of factors.entries()) {
    for (const [k, factor] of rgb.entries()) {
      for (let i = 0; i < plane; i++) picture[k * plane + i]! += factor * sample[c * plane + i]!;
    }
  }
  return { rgb: tensorToRgb(picture, width, height), width, height };
}
