import { z } from 'zod';
import { SEQUENCE_SCHEDULERS } from '#pipelines/engine/sequence-contract.ts';
import { sampleScore, steeringPayload } from './steering-payload.ts';

/** What a `generate` job is told that makes sequences. Paths are absolute; it is enough to run the job again byte for byte. */
export const sequencesPayload = z.object({
  sequences: z.object({
    modelPath: z.string(),
    adapterPath: z.string().nullable(),
    className: z.string().nullable(),
    count: z.number().int().min(1),
    length: z.number().int().min(1).nullable(),
    steps: z.number().int().min(1).nullable(),
    scheduler: z.enum(SEQUENCE_SCHEDULERS).nullable(),
    eta: z.number(),
    guidanceScale: z.number(),
    seed: z.number().int(),
    steering: steeringPayload.nullable(),
  }),
});
export type SequencesPayload = z.infer<typeof sequencesPayload>;

/** A batch of finished sequences: in the journal before it is announced. A resumed job announces its batches again. */
export const sequenceBatch = z.object({
  /** As the model's configuration filled them in. */
  steps: z.number().int(),
  scheduler: z.string(),
  sequences: z.array(
    z.object({
      index: z.number().int(),
      letters: z.string(),
      /** What the rewards that steered it said of it. */
      scores: z.array(sampleScore).default([]),
    }),
  ),
});
export type SequenceBatch = z.infer<typeof sequenceBatch>;
