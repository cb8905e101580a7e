import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { lumaOf } from './luma.ts';

/** Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy": variance of the 4-neighbour Laplacian. */
export const sharpness = defineReward({
  name: 'sharpness',
  description:
    'Variance of the Laplacian of the luma at inner pixels, in squared bytes (Pech-Pacheco et al. 2000): 0 for a flat or evenly shaded picture; noise counts too.',
  options: z.strictObject({}),
  score: ({ rgb, width, height }) => {
    const luma = lumaOf(rgb);
    let [n, sum, squares] = [0, 0, 0];
    for (let y = 1; y + 1 < height; y++) {
      for (let x = 1; x + 1 < width; x++) {
        const i = y * width + x;
        const laplacian = luma[i - 1]! + luma[i + 1]! + luma[i - width]! + luma[i + width]! - 4 * luma[i]!;
        n++;
        sum += laplacian;
        squares += laplacian * laplacian;
      }
    }
    return n === 0 ? 0 : Math.max(0, squares / n - (sum / n) ** 2);
  },
});
