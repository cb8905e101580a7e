import { NorthlightError } from '#models/errors.ts';
import type { RgbImage } from './images.ts';

/** How far two pictures of one size are apart, in steps of 8-bit sRGB. */
export interface PictureDifference {
  /** Largest difference of any channel of any pixel, 0…255. */
  readonly max: number;
  /** Mean over all channels of all pixels. */
  readonly mean: number;
  /** Pixels that differ in any channel. */
  readonly differing: number;
  readonly pixels: number;
}

/** @throws {NorthlightError} `picture/other-size`. */
export function pictureDifference(a: RgbImage, b: RgbImage): PictureDifference {
  refuseOtherSize(a, b);
  let max = 0;
  let sum = 0;
  let differing = 0;
  for (let i = 0; i < a.data.length; i += 3) {
    let here = 0;
    for (let c = i; c < i + 3; c++) {
      const d = Math.abs(a.data[c]! - b.data[c]!);
      sum += d;
      if (d > here) here = d;
    }
    if (here > 0) differing++;
    if (here > max) max = here;
  }
  return { max, mean: sum / Math.max(1, a.data.length), differing, pixels: a.width * a.height };
}

/**
 * The absolute difference `[H, W, 3]` times `factor`, the largest whole number that keeps the largest one within 255.
 * @throws {NorthlightError} `picture/other-size`.
 */
export function amplifiedDifference(a: RgbImage, b: RgbImage): { rgb: Uint8Array; factor: number } {
  const { max } = pictureDifference(a, b);
  const factor = max === 0 ? 1 : Math.floor(255 / max);
  return { rgb: a.data.map((value, i) => Math.abs(value - b.data[i]!) * factor), factor };
}

function refuseOtherSize(a: RgbImage, b: RgbImage): void {
  if (a.width === b.width && a.height === b.height) return;
  throw new NorthlightError(
    'picture/other-size',
    `A ${a.width} × ${a.height} picture cannot be compared with one of ${b.width} × ${b.height}.`,
    'Compare pictures of one size.',
  );
}
