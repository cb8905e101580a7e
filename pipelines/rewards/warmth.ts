import { z } from 'zod';
import { defineReward } from './built-in.ts';

export const warmth = defineReward({
  name: 'warmth',
  description: 'Mean red minus mean blue, channels from 0 to 1: −1 all blue … 1 all red; 0 for any grey.',
  options: z.strictObject({}),
  score: ({ rgb }) => {
    let sum = 0;
    for (let i = 0; i < rgb.length; i += 3) sum += rgb[i]! - rgb[i + 2]!;
    return sum / (rgb.length / 3) / 255;
  },
  graph: (op, rgb) => op.reduceMeanAll(op.reduceSum(op.mul(rgb, op.f32([1, 3, 1, 1], [1, 0, -1])), [1])),
});
