import { z } from 'zod';

/** What pictures and sequences have in common, asked for and made. */

/** All randomness of a job begins here. */
export const seed = z
  .number()
  .int()
  .min(0)
  .max(2 ** 31 - 1);

/** The model to make something with; null adapter: the base model. */
export const madeWith = z.object({ modelId: z.string(), adapterId: z.string().nullable().default(null) });

/** A sample as it was made, and what was said of it. */
export const made = z.object({
  /** Grows with every one of its kind in the project: a short name for long lists. */
  seq: z.number().int(),
  id: z.string(),
  /** SHA-256 of the picture file, whose URL is `/blob/<hash>`, or of the letters. */
  hash: z.string(),
  modelId: z.string(),
  adapterId: z.string().nullable(),
  seed: z.number().int(),
  index: z.number().int(),
  steps: z.number().int(),
  scheduler: z.string(),
  eta: z.number(),
  guidanceScale: z.number(),
  /** What rewards said of it, by reward. */
  scores: z.record(z.string(), z.number()),
  jobId: z.string(),
  createdAt: z.string(),
});
