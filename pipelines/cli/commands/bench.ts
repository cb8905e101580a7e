import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineCommand } from '#pipelines/cli/command.ts';

export const bench = defineCommand({
  name: 'bench',
  summary: 'benchmarks, as ratios',
  details: 'Without NAME all of them. A benchmark is a file in build/bench.',
  options: z.object({
    name: z.string().optional().describe('which benchmark'),
    list: z.boolean().default(false).describe('only list the names'),
  }),
  positionals: ['name'],
  async run({ name, list }, io) {
    const { existsSync, readdirSync } = await import('node:fs');
    const { join } = await import('node:path');
    const { pathToFileURL } = await import('node:url');
    const folder = join(import.meta.dirname, '..', '..', '..', 'build', 'bench');
    const names = (existsSync(folder) ? readdirSync(folder) : [])
      .filter((file) => file.endsWith('.ts'))
      .map((file) => file.slice(0, -3))
      .sort();
    if (name !== undefined && !names.includes(name)) {
      throw new NorthlightError('usage', `There is no benchmark "${name}".`, suggestion(name, names));
    }
    const results: Record<string, unknown> = {};
    if (list) return { names, results };
    const chosen = name === undefined ? names : [name];
    for (const [index, each] of chosen.entries()) {
      io.progress(each, index, chosen.length);
      const module: unknown = await import(pathToFileURL(join(folder, `${each}.ts`)).href);
      const measure = (module as { measure?: () => Promise<unknown> }).measure;
      if (typeof measure !== 'function') {
        throw new NorthlightError('bench/no-measure', `build/bench/${each}.ts does not export "measure".`);
      }
      results[each] = await measure();
    }
    return { names: chosen, results };
  },
  show: ({ names, results }) =>
    names.map((name) => (name in results ? `${name}: ${JSON.stringify(results[name], null, 2)}` : name)).join('\n'),
});
