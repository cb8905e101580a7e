import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const modelsBake = defineCommand({
  name: 'models bake',
  summary: 'write a model folder anew with its sizes fixed, which some providers run faster',
  details: 'Weights beside a graph are linked, not copied. Every graph is compared with its source on a random input.',
  options: z.object({
    dir: z.string().min(1).describe('a model folder with free sizes'),
    out: z.string().min(1).describe('the new folder'),
    size: z
      .string()
      .regex(/^\d+x\d+$/, 'must be WIDTHxHEIGHT, for example 512x512')
      .describe('pixels, as WIDTHxHEIGHT'),
    batch: z.int().min(1).max(64).default(1).describe('samples of one call'),
  }),
  positionals: ['dir'],
  async run({ dir, out, size, batch, threads }, io) {
    const { bakeModel } = await import('#pipelines/sampling/bake.ts');
    const [width, height] = size.split('x').map(Number) as [number, number];
    const graphs = await bakeModel(dir, out, { width, height, batch, threads, progress: io.progress });
    return { directory: out, graphs };
  },
  show: ({ directory, graphs }) =>
    [
      `${directory}: sizes fixed, same output as the source.`,
      ...graphs.map((g) => `  ${g.file}  differs by ${g.difference.toExponential(0)} at most`),
    ].join('\n'),
});
