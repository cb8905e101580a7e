import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { type TuneResult, tuneOptions } from '#pipelines/cli/tune-options.ts';

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
