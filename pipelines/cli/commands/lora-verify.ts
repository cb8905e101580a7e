import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const loraVerify = defineCommand({
  name: 'lora verify',
  summary: 'apply an adapter file as written and prove that it does what it should',
  details:
    'Reads the file back, runs the model with the adapter beside the weights and with the adapter merged into them, and ' +
    'compares both with each other and with the bare model. Ends with exit code 2 when the adapter changes nothing.',
  options: z.object({
    file: z.string().min(1).describe('adapter: .safetensors, or a folder of PEFT or diffusers'),
    model: z.string().min(1).describe('model folder it belongs to'),
  }),
  positionals: ['file'],
  async run({ file, model, project }, io) {
    const { resolve } = await import('node:path');
    const { jobs } = await import('#pipelines/engine/jobs/index.ts');
    const { verifyResult } = await import('#pipelines/engine/jobs/payloads.ts');
    const signal = io.signal;
    const result = await jobs.verify(
      { modelPath: resolve(model), adapterPath: resolve(file) },
      {
        jobId: 'verify',
        project: resolve(project ?? '.'),
        progress: io.progress,
        event() {},
        control: {
          get request() {
            return signal.aborted ? 'cancel' : 'run';
          },
        },
      },
    );
    const whole = verifyResult.extend({ matched: z.number().int(), unmatched: z.array(z.string()) });
    return { file, ...whole.parse(result) };
  },
  show: ({ difference, effect, matched, unmatched }) =>
    [
      `${matched} modules applied${unmatched.length > 0 ? `, ${unmatched.length} names not in this network` : ''}`,
      `Largest difference from the adapter merged into the weights: ${difference.toExponential(2)}`,
      `Effect on the output: ${effect.toExponential(2)}${effect > 0 ? '' : ' (the adapter changes nothing)'}`,
      ...unmatched.map((name) => `  ? ${name}`),
    ].join('\n'),
  exitCode: ({ effect }) => (effect > 0 ? 0 : 2),
});
