import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { lumaOf } from './luma.ts';

/** Contrast with the mean as saliency, as in Achanta et al. 2009 (CVPR) without their blur, on the luma alone. */
export const balance = defineReward({
  name: 'balance',
  description:
    'How central what stands out is: 1 where the centre of mass of |luma − mean| is the middle of the picture, 0 in a corner. A picture of one tone has 1.',
  options: z.strictObject({}),
  score: ({ rgb, width, height }) => {
    const luma = lumaOf(rgb);
    const mean = luma.reduce((sum, y) => sum + y, 0) / luma.length;
    let [mass, right, down] = [0, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const saliency = Math.abs(luma[y * width + x]! - mean);
        mass += saliency;
        // −1 … 1 from the first pixel to the last.
        right += saliency * (width > 1 ? (2 * x) / (width - 1) - 1 : 0);
        down += saliency * (height > 1 ? (2 * y) / (height - 1) - 1 : 0);
      }
    }
    return mass < 1e-9 * luma.length ? 1 : 1 - Math.hypot(right / mass, down / mass) / Math.SQRT2;
  },
});
