import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const loraVerify = defineCommand({
  name: 'lora verify',
  summary: 'apply an adapter file as written and compare it with the live adapter',
  details: 'Reports the largest difference in the output, and how much the adapter changes the output at all.',
  options: z.object({
    file: z.string().min(1).describe('adapter, .safetensors'),
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
    return { file, ...verifyResult.parse(result) };
  },
  show: ({ difference, effect }) =>
    `Largest difference from the live adapter: ${difference.toExponential(2)}\nEffect on the output: ${effect.toExponential(2)}`,
});
