import { readFileSync } from 'node:fs';
import { z } from 'zod';

const matrix = z.array(z.array(z.number()));
const file = z.object({
  cases: z.array(
    z.object({
      scheduler: z.string(),
      config: z.record(z.string(), z.unknown()),
      num_inference_steps: z.number(),
      step_kwargs: z.object({ eta: z.number().optional() }),
      init_noise_sigma: z.number(),
      timesteps: z.array(z.number()),
      prev_samples: matrix,
      pred_original_samples: z.array(z.array(z.number()).nullable()).nullable(),
    }),
  ),
});

// Outputs of another implementation: see test/golden/PROVENANCE-schedulers.md.
export const { cases } = file.parse(JSON.parse(readFileSync('test/golden/schedulers.json', 'utf8')));
/** The k-th draw of the table. */
export const noise = (k: number) => Array.from({ length: 6 }, (_, i) => 1.5 * Math.sin(12.9898 * (6 * k + i) + 78.233));
/** The stand-in network. */
export const model = (x: readonly number[], t: number) => x.map((v, i) => 0.6 * v + 0.2 * Math.sin(0.01 * t + i));
