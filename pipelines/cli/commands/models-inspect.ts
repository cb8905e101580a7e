import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';
import { describeModel } from '#pipelines/cli/model-report.ts';

export const modelsInspect = defineCommand({
  name: 'models inspect',
  summary: 'what a model folder holds, and what is missing or unusable and how to fix it',
  details: 'Exit code 2 if the model cannot run.',
  options: z.object({ dir: z.string().min(1).describe('a model folder in the diffusers ONNX layout') }),
  positionals: ['dir'],
  async run({ dir }) {
    const { inspectModelFolder } = await import('#models/families/index.ts');
    return await inspectModelFolder(dir);
  },
  show: describeModel,
  exitCode: (report) => (report.usable ? 0 : 2),
});
