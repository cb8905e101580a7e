import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineCommand } from '#pipelines/cli/command.ts';

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

export const tune = defineCommand({
  name: 'tune',
  summary: 'fine-tune a model toward a reward or a person’s choices',
  details: 'northlight tune ALGORITHM --help lists the settings of that algorithm.',
  options: tuneOptions,
  positionals: ['algorithm'],
  async settings({ algorithm }) {
    const { algorithms } = await import('#pipelines/finetune/index.ts');
    if (algorithm === undefined) return undefined;
    const found = Object.entries(algorithms).find(([name]) => name === algorithm)?.[1];
    if (found === undefined) {
      throw new NorthlightError(
        'usage',
        `There is no algorithm "${algorithm}".`,
        suggestion(algorithm, Object.keys(algorithms)),
      );
    }
    return found.schema;
  },
  async run(options, io): Promise<TuneResult> {
    if (options.project === undefined) {
      throw new NorthlightError('usage', '--project is missing.', 'Name the folder that the run is kept in.');
    }
    const { runTune } = await import('#pipelines/cli/run-tune.ts');
    return await runTune({ ...options, project: options.project }, io);
  },
  show(result) {
    const metrics = Object.entries(result.metrics).map(
      ([name, { first, last }]) => `  ${name}: ${first.toPrecision(4)} → ${last.toPrecision(4)}`,
    );
    const { provider, because } = result.provider;
    const ran = because === '' ? provider : `${provider}: ${because}`;
    return [`Run ${result.runId}: ${result.steps} updates on ${ran}`, ...metrics, `Adapter: ${result.adapter}`].join(
      '\n',
    );
  },
});
