import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { lumaOf } from './luma.ts';
import { lumaGraph } from './picture-graph.ts';

export const brightness = defineReward({
  name: 'brightness',
  description: 'Mean Rec. 709 luma of the picture: 0 black … 1 white.',
  options: z.strictObject({}),
  score: ({ rgb }) => lumaOf(rgb).reduce((sum, y) => sum + y, 0) / (rgb.length / 3) / 255,
  graph: (op, rgb) => op.reduceMeanAll(lumaGraph(op, rgb)),
});
