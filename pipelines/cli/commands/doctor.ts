import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';
import type { Check } from '#pipelines/cli/examine.ts';

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'what works here, measured: providers, memory, disk, window',
  details: 'With --model, one step of that model is measured on every provider and remembered for --provider auto.',
  options: z.object({
    model: z.string().min(1).optional().describe('measure the providers with this model folder instead'),
  }),
  async run(options, io): Promise<{ checks: Check[] }> {
    if (options.model !== undefined) {
      const { examineProviders } = await import('#pipelines/cli/examine-providers.ts');
      return await examineProviders(options.model, options.threads, io);
    }
    const { examine } = await import('#pipelines/cli/examine.ts');
    return await examine(options.project ?? process.cwd(), io);
  },
  show: ({ checks }) =>
    checks.map((c) => `${{ ok: ' ok ', note: 'note', bad: ' !! ' }[c.state]}  ${c.name}: ${c.text}`).join('\n'),
  exitCode: ({ checks }) => (checks.some((c) => c.state === 'bad') ? 1 : 0),
});
