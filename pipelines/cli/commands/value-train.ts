import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';
import { modelOption, whatToMake } from '#pipelines/cli/make-options.ts';
import type { ValueTrained } from '#pipelines/cli/run-value-train.ts';

export const valueTrain = defineCommand({
  name: 'value train',
  summary: 'train a network that knows what unfinished samples are worth, for --decode svdd-mc',
  details:
    'Writes OUT/value.onnx and OUT/value.json; OUT/states keeps what it learned from, so that the same command goes on, also with a larger ' +
    '--count. Sample with the same model, reward and kind of prompts: --decode svdd-mc --set value=OUT.',
  options: z.object({
    model: modelOption,
    ...whatToMake,
    reward: z.string().min(1).describe('SPEC'),
    count: z.int().min(1).max(1_000_000).default(128).describe('plain samples to learn from'),
    states: z.int().min(1).max(1000).default(10).describe('states kept of each, at random steps'),
    out: z.string().min(1).describe('folder to write into'),
  }),
  async settings() {
    const { valueTrainingOptions } = await import('#pipelines/decoding/value-training.ts');
    return valueTrainingOptions;
  },
  async run(options, io): Promise<ValueTrained> {
    const { runValueTrain } = await import('#pipelines/cli/run-value-train.ts');
    return await runValueTrain(options, io);
  },
  show: ({ directory, samples, made, seconds, alpha, correlation, rewards: { mean, std } }) =>
    [
      `${samples} samples, ${made} of them new, in ${seconds.toFixed(1)} s; reward ${mean.toPrecision(4)} ± ${std.toPrecision(3)}`,
      correlation === null
        ? 'Too few samples to try it on ones it did not learn from.'
        : `Its values and the rewards of samples it did not learn from agree by ${correlation
            .map((c) => c.toFixed(2))
            .join(', ')} (correlation early, midway, late)`,
      `Made for α = ${alpha.toPrecision(3)}`,
      `${directory}: sample with --decode svdd-mc --set value=${directory}`,
    ].join('\n'),
});
