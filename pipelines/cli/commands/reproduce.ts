import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const reproduce = defineCommand({
  name: 'reproduce',
  summary: 'make a picture again from the settings in its file, and compare',
  details:
    'Without --model the bundled model, or the model of --project, that made the picture is used. Adapters are taken from ' +
    '--lora and from --project by their content. Ends with exit code 1 when the pictures differ.',
  options: z.object({
    file: z.string().min(1).describe('a picture made by Northlight'),
    model: z.string().min(1).optional().describe('model folder, or the name of a bundled model'),
    lora: z.array(z.string().min(1)).default([]).describe('adapter file that the picture may need'),
    image: z.string().min(1).optional().describe('the picture it started from, if it started from one'),
    mask: z.string().min(1).optional().describe('the mask of what could change'),
    out: z.string().min(1).optional().describe('folder for reproduction.png and, if they differ, difference.png'),
  }),
  positionals: ['file'],
  async run(options, io) {
    const { runReproduce } = await import('#pipelines/cli/run-reproduce.ts');
    return await runReproduce(options, io);
  },
  show: (r) =>
    [
      {
        file: 'Identical: the same bytes.',
        pixels: 'Identical pixels; the files differ in what they say of themselves.',
        no: `Different: ${r.differing} of ${r.pixels} pixels, by ${r.mean.toFixed(3)} on average and ${r.max} at most (of 255).`,
      }[r.identical],
      ...r.notes,
    ].join('\n'),
  exitCode: (r) => (r.identical === 'no' ? 1 : 0),
});
