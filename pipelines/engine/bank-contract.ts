import { z } from 'zod';

/** What window and engine say to each other of banks: plain samples that a reward is looked at with before it steers. */

const spread = z.object({
  mean: z.number(),
  std: z.number(),
  q10: z.number(),
  q50: z.number(),
  q90: z.number(),
});

const expected = z.object({ mean: z.number(), ess: z.number(), reliable: z.boolean() });

/** See `Preview` of `pipelines/bank/preview.ts`. */
const bankPreview = z.object({
  samples: z.number().int(),
  plain: spread,
  alpha: z.number(),
  suggestedAlpha: z.number().nullable(),
  tilted: spread,
  gain: z.number(),
  ess: z.number(),
  kl: z.number(),
  reliable: z.boolean(),
  histogram: z.object({ from: z.number(), to: z.number(), plain: z.array(z.number()), tilted: z.array(z.number()) }),
  ladder: z.array(
    z.object({
      times: z.number(),
      /** Exact for these samples. */
      bestOf: expected.nullable(),
      /** For other methods: an estimate. */
      atSameDistance: expected.extend({ alpha: z.number() }).nullable(),
    }),
  ),
});
export type BankPreview = z.infer<typeof bankPreview>;

/** A bank as far as it is there, and what it says of rewards. */
export const bankView = z.object({
  key: z.string(),
  samples: z.number().int(),
  /** How many of them all the rewards have scored. */
  scored: z.number().int(),
  /** How many put the rewards on one scale before they steer, and are made first where they are missing; 0: none. */
  calibration: z.number().int(),
  /** Sizes that make sense, smallest first: enough for a first look, and as many as a bank usually has. */
  sizes: z.array(z.number().int()),
  /** Of one sample, when they were made; null where there is none. */
  secondsPerSample: z.number().nullable(),
  /** Denoiser calls of one sample; guidance is not counted. */
  callsPerSample: z.number().int(),
  /** The job that makes or scores it now, or waits to. */
  jobId: z.string().nullable(),
  /** Null until all the rewards have scored samples. */
  preview: bankPreview.nullable(),
});
export type BankView = z.infer<typeof bankView>;

/** What plain samples were worth to a reward before it steered, as the reward gives it. */
export const plainValues = z.object({ reward: z.string(), values: z.array(z.number()) });
export type PlainValues = z.infer<typeof plainValues>;
