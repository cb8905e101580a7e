import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { lumaOf } from './luma.ts';

export const symmetry = defineReward({
  name: 'symmetry',
  description:
    'Correlation of the luma with its left-right mirror image: 1 symmetric, 0 unrelated, −1 opposite. A picture of one tone has 1.',
  options: z.strictObject({}),
  score: ({ rgb, width, height }) => {
    const luma = lumaOf(rgb);
    const mean = luma.reduce((sum, y) => sum + y, 0) / luma.length;
    let products = 0;
    let squares = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const here = luma[y * width + x]! - mean;
        products += here * (luma[y * width + width - 1 - x]! - mean);
        squares += here * here;
      }
    }
    // One tone up to the rounding of its mean: it is its own mirror image.
    return squares < 1e-9 * luma.length ? 1 : products / squares;
  },
});
