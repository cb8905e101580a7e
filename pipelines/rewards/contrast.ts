import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { lumaOf } from './luma.ts';
import { lumaGraph } from './picture-graph.ts';

/** Peli 1990, "Contrast in complex images", J. Opt. Soc. Am. A 7:2032, eq. 1. */
export const contrast = defineReward({
  name: 'contrast',
  description:
    'Standard deviation of the luma from 0 to 1 (RMS contrast, Peli 1990): 0 for one tone, 0.5 for half black and half white.',
  options: z.strictObject({}),
  score: ({ rgb }) => {
    const luma = lumaOf(rgb);
    const mean = luma.reduce((sum, y) => sum + y, 0) / luma.length;
    return Math.sqrt(luma.reduce((sum, y) => sum + (y - mean) ** 2, 0) / luma.length) / 255;
  },
  graph(op, rgb) {
    const luma = lumaGraph(op, rgb);
    const off = op.sub(luma, op.reduceMean(luma, [0, 1, 2, 3]));
    // A picture of one tone has no direction in which contrast grows; there the slope is 0.
    return op.sqrt(op.addScalar(op.reduceMeanAll(op.mul(off, off)), 1e-12));
  },
});
