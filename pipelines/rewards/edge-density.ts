import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { gradientMagnitudes } from './gradients.ts';
import { lumaOf } from './luma.ts';

export const edgeDensity = defineReward({
  name: 'edge-density',
  description: 'Share of inner pixels whose luma rises by more than the threshold per pixel (Sobel): 0…1.',
  options: z.strictObject({
    threshold: z.coerce.number().min(0).max(255).default(16).describe('bytes of luma per pixel'),
  }),
  score: ({ rgb, width, height }, { threshold }) => {
    const magnitudes = gradientMagnitudes(lumaOf(rgb), width, height);
    return magnitudes.length === 0 ? 0 : magnitudes.filter((m) => m > threshold).length / magnitudes.length;
  },
});
