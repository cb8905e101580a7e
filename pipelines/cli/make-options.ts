import { z } from 'zod';
import { COMBINATIONS } from '#pipelines/rewards/combine.ts';
import { SAMPLERS, SEQUENCE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import type { CommonOptions } from './command.ts';

const schedulerNames = [...SAMPLERS, ...SEQUENCE_SAMPLERS] as const;

export const modelOption = z.string().min(1).describe('model folder, or the name of a bundled model');

/** What to make, and how, besides the seed: for all commands that make samples. */
export const whatToMake = {
  prompt: z.array(z.string()).default([]).describe('what to draw'),
  prompts: z.string().optional().describe('file with one prompt per line'),
  negative: z.string().default('').describe('what not to draw (needs guidance)'),
  class: z.string().optional().describe('class of a class-conditional model'),
  steps: z.int().min(1).max(1000).optional().describe("default: the folder's scheduler_config.json"),
  scheduler: z.enum(schedulerNames).optional().describe("default: the folder's scheduler_config.json"),
  eta: z.number().min(0).max(1).optional().describe('noise of DDIM: 0 deterministic, 1 as DDPM'),
  guidance: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .describe("classifier-free guidance; 1 is none; default: the model's own"),
  clipSkip: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe('layer of CLIP to read the prompt from, counted from the end: 1 is what the model reads'),
  size: z
    .string()
    .regex(/^\d+x\d+$/, 'write it as WIDTHxHEIGHT')
    .optional()
    .describe("WxH in pixels; default: the model's own"),
  length: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('positions of a sequence, where the model leaves them free'),
  lora: z.array(z.string().min(1)).default([]).describe('adapter FILE[:WEIGHT]'),
};

/** What follows from the shape of {@link whatToMake}. */
const makeOptions = z.object({ model: modelOption, ...whatToMake });
export type MakeOptions = z.output<typeof makeOptions> & CommonOptions;

/** What samples are judged by. */
export const rewardOptions = {
  reward: z.array(z.string().min(1)).default([]).describe('SPEC[@WEIGHT]'),
  combine: z
    .enum(COMBINATIONS)
    .default('sum')
    .describe(
      'how several rewards become one number: sum of standardised scores, krc (all good), worst, lexicographic',
    ),
};
