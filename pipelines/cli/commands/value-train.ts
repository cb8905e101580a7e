import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';
import { modelOption, whatToMake } from '#pipelines/cli/make-options.ts';
import type { ValueTrained } from '#pipelines/cli/run-value-train.ts';
import { valueLessons } from '#pipelines/decoding/value-lessons.ts';

const list = (numbers: readonly number[]) => numbers.map((n) => n.toFixed(2)).join(', ');

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
    ...valueLessons.shape,
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
  show: ({ directory, samples, made, seconds, alpha, correlation, guessCorrelation, choice, rewards: { mean, std } }) =>
    [
      `${samples} samples, ${made} of them new, in ${seconds.toFixed(1)} s; reward of plain ones ${mean.toPrecision(4)} ± ${std.toPrecision(3)}`,
      ...(correlation === null || guessCorrelation === null || choice === null
        ? ['Too few samples to try it on ones it did not learn from.']
        : [
            'Tried on samples it did not learn from, early, midway and late:',
            `  choosing among candidates by it gains ${list(choice)} of what asking the model about each would (0: chance)`,
            `  correlation with final rewards ${list(correlation)}; of the model's own guesses ${list(guessCorrelation)}`,
          ]),
      `Made for α = ${alpha.toPrecision(3)}`,
      `${directory}: sample with --decode svdd-mc --set value=${directory}`,
    ].join('\n'),
});
