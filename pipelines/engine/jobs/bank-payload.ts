import { z } from 'zod';
import { SAMPLERS, SEQUENCE_SAMPLERS } from '#pipelines/schedulers/names.ts';

const common = {
  modelPath: z.string(),
  adapterPath: z.string().nullable(),
  /** The bank that it makes, to find the job by. */
  key: z.string(),
  /** Samples that the bank is to have. */
  count: z.number().int().min(1),
  /** They score them. */
  rewards: z.array(z.string()),
};

const settings = {
  steps: z.number().int().min(1),
  eta: z.number(),
  guidanceScale: z.number(),
};

/** What a job is told that makes and scores plain samples. Settings are complete. */
export const bankPayload = z.discriminatedUnion('makes', [
  z.object({
    ...common,
    makes: z.literal('pictures'),
    prompts: z.array(z.string()).min(1),
    settings: z.object({
      ...settings,
      scheduler: z.enum(SAMPLERS),
      negativePrompt: z.string(),
      width: z.number().int(),
      height: z.number().int(),
      clipSkip: z.number().int(),
    }),
  }),
  z.object({
    ...common,
    makes: z.literal('sequences'),
    settings: z.object({
      ...settings,
      scheduler: z.enum([...SEQUENCE_SAMPLERS, ...SAMPLERS]),
      classId: z.number().int().nullable(),
      length: z.number().int().nullable(),
    }),
  }),
]);
export type BankPayload = z.infer<typeof bankPayload>;
