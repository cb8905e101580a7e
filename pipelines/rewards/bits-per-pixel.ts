import { z } from 'zod';
import { jpegSize } from '#pipelines/images/images.ts';
import { defineReward } from './built-in.ts';

export const bitsPerPixel = defineReward({
  name: 'bits-per-pixel',
  description: 'Bits of the picture as a JPEG file per pixel, whatever its size: detail that a file has to keep.',
  options: z.strictObject({
    quality: z.coerce.number().int().min(1).max(100).default(90).describe('JPEG quality, 1 to 100'),
  }),
  score: async ({ rgb, width, height }, { quality }) =>
    (8 * (await jpegSize(rgb, width, height, quality))) / (width * height),
});
