import { z } from 'zod';
import { bankPayload } from './bank-payload.ts';

/** What a job is told that trains a value network: what samples it learns from, for which reward, and the folder that it writes. */
export const valuesPayload = z.object({
  of: bankPayload,
  reward: z.string(),
  folder: z.string(),
});
export type ValuesPayload = z.infer<typeof valuesPayload>;
