import { z } from 'zod';

/** What window and engine say to each other of value networks: they know what unfinished samples are worth to a reward. */

const thirds = z.array(z.number()).nullable();

const valueNetwork = z.object({
  /** What to decode with: the option `value` of svdd-mc. */
  folder: z.string(),
  kind: z.enum(['soft', 'mean', 'guess']),
  alpha: z.number(),
  /** Samples that it learned from. */
  samples: z.number().int(),
  /** On samples that it did not learn from, early, midway and late; null where they were too few. See `pipelines/decoding/value-exam.ts`. */
  choice: thirds,
  correlation: thirds,
  guessCorrelation: thirds,
});
export type ValueNetworkView = z.infer<typeof valueNetwork>;

/** What training a network for a form takes. */
const valueCost = z.object({
  samples: z.number().int(),
  updates: z.number().int(),
  /** At most; guidance is not counted. */
  denoiserCalls: z.number().int(),
  /** On average. */
  rewardCalls: z.number().int(),
});

export const valueView = z.object({
  /** Those of this project that belong to this model and reward as they are now, the latest first. */
  networks: z.array(valueNetwork),
  cost: valueCost,
  /** The unfinished job that trains one for this form. */
  jobId: z.string().nullable(),
});
export type ValueView = z.infer<typeof valueView>;
