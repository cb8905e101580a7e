import { z } from 'zod';
import { SEQUENCE_SCHEDULERS } from '#pipelines/engine/sequence-contract.ts';

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
    steering: z
      .object({ decoder: z.string(), reward: z.string(), options: z.record(z.string(), z.unknown()) })
      .nullable(),
  }),
});
export type SequencesPayload = z.infer<typeof sequencesPayload>;

/** A batch of finished sequences: in the journal before it is announced. A resumed job announces its batches again. */
export const sequenceBatch = z.object({
  /** As the model's configuration filled them in. */
  steps: z.number().int(),
  scheduler: z.string(),
  /** The reward that steered them, as it was asked for; null: none. */
  reward: z.string().nullable(),
  sequences: z.array(z.object({ index: z.number().int(), letters: z.string(), score: z.number().nullable() })),
});
export type SequenceBatch = z.infer<typeof sequenceBatch>;
