import { z } from 'zod';
import { modelOption, rewardOptions, whatToMake } from './make-options.ts';

/** Options of `sample`, also what `runSample` takes (with the common ones). */
export const sampleOptions = z.object({
  model: modelOption,
  count: z.int().min(1).max(1_000_000).default(1).describe('pictures; all prompts share them out in turn'),
  batch: z.int().min(1).max(1024).optional().describe('pictures at once; does not change them'),
  ...whatToMake,
  init: z.string().optional().describe('safetensors with starting noise: latents, float32 [N,C,H,W]'),
  image: z.string().min(1).optional().describe('picture to start from, in place of noise alone'),
  strength: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('how much of --image may change: 0 nothing, 1 all; default 0.8, with --mask 1'),
  mask: z.string().min(1).optional().describe('picture, white where --image shall change; the rest stays as it is'),
  tile: z
    .string()
    .regex(/^(auto|off|[1-9]\d{1,4})$/, 'write auto, off, or pixels from 10 to 99999')
    .optional()
    .describe('side in pixels of tiles to decode latents in; default: auto, by memory'),
  decode: z
    .enum(['plain', 'best-of-n', 'smc', 'svdd-mc', 'svdd-pm', 'gradient', 'beam', 'tree', 'revise'])
    .default('plain')
    .describe('how rewards steer sampling'),
  ...rewardOptions,
  alpha: z.number().positive().optional().describe('temperature of steering: smaller follows the reward more'),
  candidates: z.int().min(1).max(4096).optional().describe('candidates or particles per sample while steering'),
  cap: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe('while steering, no credit for a reward beyond this quantile of plain samples, such as 0.99'),
  bankSamples: z
    .int()
    .min(16)
    .max(4096)
    .optional()
    .describe('plain samples that several rewards are put on one scale by while steering; default 64'),
  out: z.string().min(1).describe('folder to write into'),
  keepTrajectories: z.boolean().default(false).describe('also write OUT/trajectories, which tuning learns from'),
  saveTensors: z.boolean().default(false).describe('also write samples.safetensors'),
});

export interface SampleResult {
  readonly count: number;
  readonly seconds: number;
  readonly denoiserCalls: number;
  readonly rewardCalls: number;
  /** Of a value network, where one steers. */
  readonly valueCalls: number;
  /** Of the reward, by samples or their best guesses. */
  readonly gradientCalls: number;
  /** The plain samples that several rewards were compared on, and what it took to make those that were missing. */
  readonly bank?: { readonly key: string; readonly samples: number; readonly denoiserCalls: number };
  readonly rewards?: { mean: number; std: number; min: number; max: number; values: number[] } | undefined;
}
