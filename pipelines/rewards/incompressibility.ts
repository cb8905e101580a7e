import { z } from 'zod';
import { jpegSize } from '#pipelines/images/images.ts';
import { defineReward } from './built-in.ts';

/**
 * Black et al. 2023 (arXiv:2305.13301), section 5.1. Deviation: our encoder optimises its Huffman tables, so files are
 * somewhat smaller than those of the paper's encoder.
 */
export const incompressibility = defineReward({
  name: 'incompressibility',
  description: 'The size of the picture as a JPEG file, in kB (1000 bytes): prefers large files.',
  options: z.strictObject({
    quality: z.coerce.number().int().min(1).max(100).default(95).describe('JPEG quality, 1 to 100'),
  }),
  score: async ({ rgb, width, height }, { quality }) => (await jpegSize(rgb, width, height, quality)) / 1000,
});
