import { z } from 'zod';

/** What a value network learns from. */
export const valueLessons = z.object({
  count: z.int().min(1).max(1_000_000).default(512).describe('Samples to learn from'),
  states: z.int().min(1).max(1000).default(16).describe('Steps of each, at random, at which candidates are compared'),
  candidates: z
    .int()
    .min(2)
    .max(64)
    .default(4)
    .describe('Candidates there, each a call of the denoiser and of the reward'),
  led: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Share of samples that are led to better rewards: decoding goes where plain samples never are'),
});
export type ValueLessons = z.output<typeof valueLessons>;

/** Calls of the denoiser that collecting takes at most, for samples of so many steps. */
export const lessonCalls = ({ count, states, candidates }: ValueLessons, steps: number): number =>
  count * (steps + Math.min(states, steps - 1) * (candidates - 1));
