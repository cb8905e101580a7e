import { z } from 'zod';
import { COMBINATIONS } from '#pipelines/rewards/combine.ts';

/** What a job is told of how its samples are steered; see `generate.start`. */
export const steeringPayload = z.object({
  decoder: z.string(),
  rewards: z.array(z.object({ reward: z.string(), weight: z.number() })).min(1),
  combine: z.enum(COMBINATIONS),
  cap: z.number().nullable(),
  options: z.record(z.string(), z.unknown()),
});
export type SteeringPayload = z.infer<typeof steeringPayload>;

/** What a reward said of a finished sample, as the reward gives it. */
export const sampleScore = z.object({ reward: z.string(), value: z.number() });
export type SampleScore = z.infer<typeof sampleScore>;
