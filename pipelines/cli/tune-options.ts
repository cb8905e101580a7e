import { z } from 'zod';

/** Options of `tune`, also what `runTune` takes (with the common ones and `set`). */
export const tuneOptions = z.object({
  algorithm: z.string().min(1).describe('d3po, ddpo, …'),
  model: z.string().min(1).describe('model folder, or the name of a bundled model'),
  reward: z.array(z.string().min(1)).default([]).describe('SPEC[@WEIGHT]: what to follow instead of comparisons'),
  comparisons: z.string().optional().describe('comparisons, JSON lines'),
  prompts: z.string().optional().describe('file with one prompt per line'),
  steps: z.int().min(1).max(1_000_000).optional().describe("updates (default: the algorithm's)"),
  name: z.string().optional().describe('name of the adapter'),
});

export interface TuneResult {
  readonly runId: string;
  readonly directory: string;
  readonly steps: number;
  readonly adapter: string;
  /** What ran the training graph, and why. */
  readonly provider: { readonly provider: string; readonly because: string };
  readonly metrics: Readonly<Record<string, { first: number; last: number }>>;
}
