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
    .describe('Candidates there, each a call of the reward, and of pictures one of the denoiser'),
  led: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Share of samples that are led to better rewards: decoding goes where plain samples never are'),
});
export type ValueLessons = z.output<typeof valueLessons>;

/** Calls of the denoiser that collecting pictures of so many steps takes at most; sequences take as many as plain ones. */
export const lessonCalls = ({ count, states, candidates }: ValueLessons, steps: number): number =>
  count * (steps + Math.min(states, steps - 1) * (candidates - 1));

/** Looks of the reward, on average: at all that is compared, at what led samples choose from elsewhere, and at what samples end in. */
export function lessonLooks({ count, states, candidates, led }: ValueLessons, steps: number): number {
  const compared = Math.min(states, steps - 1);
  const elsewhere = (led / 2) * (steps - 1 - compared);
  return Math.round(count * (1 + (compared + elsewhere) * candidates));
}
