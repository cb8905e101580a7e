import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { modelOption, whatToMake } from '#pipelines/cli/make-options.ts';
import type { BankMade } from '#pipelines/cli/run-bank-make.ts';

export const bankMake = defineCommand({
  name: 'bank make',
  summary: 'keep plain samples that rewards are looked at with before they steer',
  details:
    'Kept in the banks folder of the project by what they depend on. More samples, or rewards, are added to what is there.',
  options: z.object({
    model: modelOption,
    ...whatToMake,
    count: z.int().min(1).max(100_000).optional().describe('samples in all; default: 64 for each prompt, at least 256'),
    reward: z.array(z.string().min(1)).default([]).describe('SPEC to score them by; may be added later'),
  }),
  async run(options, io): Promise<BankMade> {
    const { project } = options;
    if (project === undefined) {
      throw new NorthlightError(
        'usage',
        '--project is missing.',
        'Name the project folder that the samples are kept in.',
      );
    }
    const { runBankMake } = await import('#pipelines/cli/run-bank-make.ts');
    return await runBankMake({ ...options, project }, io);
  },
  show: ({ key, directory, samples, made, seconds, denoiserCalls, rewards }) =>
    [
      `${samples} samples, ${made} of them new, in ${seconds.toFixed(1)} s · ${denoiserCalls} denoiser calls`,
      ...Object.entries(rewards).map(
        ([spec, { mean, std, min, max }]) =>
          `${spec}: ${mean.toPrecision(4)} ± ${std.toPrecision(3)} (${min.toPrecision(4)} … ${max.toPrecision(4)})`,
      ),
      directory,
      `northlight bank tilt ${key.slice(0, 8)} --reward SPEC shows what steering would do`,
    ].join('\n'),
});
