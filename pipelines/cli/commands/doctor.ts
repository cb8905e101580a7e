import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'what works here, measured: providers, memory, disk, window',
  options: z.object({}),
  async run(options, io) {
    const { examine } = await import('#pipelines/cli/examine.ts');
    return await examine(options.project ?? process.cwd(), io);
  },
  show: ({ checks }) =>
    checks.map((c) => `${{ ok: ' ok ', note: 'note', bad: ' !! ' }[c.state]}  ${c.name}: ${c.text}`).join('\n'),
  exitCode: ({ checks }) => (checks.some((c) => c.state === 'bad') ? 1 : 0),
});
