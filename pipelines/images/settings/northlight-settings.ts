import { z } from 'zod';
import { SAMPLERS } from '#pipelines/schedulers/names.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const text = z.string().max(100_000);
const whole = z.number().int();

/** The text `northlight` of our pictures: all that makes the same bytes again on the same machine. */
export const northlightSettings = z.object({
  /** Of the program. */
  version: text,
  model: z.object({ name: text, /** Of the folder: sorted files and their SHA-256. */ hash: sha256 }),
  adapters: z.array(z.object({ name: text, hash: sha256, weight: z.number() })).max(64),
  prompt: text,
  negativePrompt: text,
  /** Noise is a function of (seed, index); pictures with one `noiseIndex` start alike. */
  seed: whole,
  index: whole,
  noiseIndex: whole,
  /** SHA-256 of the starting noise (float32, unit normal): tells whether it came from the seed. */
  startHash: sha256,
  scheduler: z.enum(SAMPLERS),
  /** SHA-256 of the scheduler's configuration as JSON. */
  schedulerConfigHash: sha256,
  steps: whole,
  eta: z.number(),
  guidanceScale: z.number(),
  /** Every step kept some noise, the last one too, because its probability was kept. */
  keepTrajectories: z.boolean(),
  width: whole,
  height: whole,
  /** Layer of the text encoder, counted from the end: 1 is the last. */
  clipSkip: whole,
  /** Strength of image to image, 0…1; null for a picture from noise alone. */
  denoising: z.number().nullable(),
  /** SHA-256 of the files of the picture it started from, and of the mask of what could change. */
  start: z.object({ picture: sha256, mask: sha256.nullable() }).optional(),
  /** Side in pixels of the tiles it was decoded in; absent: decoded whole. */
  tile: whole.optional(),
  /** What steered it, and the reward it was steered by; absent: nothing. */
  steering: z.object({ decoder: text, reward: text, options: z.record(z.string(), z.unknown()) }).optional(),
  /** What ran the networks. */
  provider: text,
});
export type NorthlightSettings = z.infer<typeof northlightSettings>;
