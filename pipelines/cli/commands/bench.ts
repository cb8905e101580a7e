import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineCommand } from '#pipelines/cli/command.ts';

export const bench = defineCommand({
  name: 'bench',
  summary: 'benchmarks, as ratios',
  details: 'Without NAME all of them but those that take hours. A benchmark is a file in build/bench.',
  options: z.object({
    name: z.string().optional().describe('which benchmark'),
    list: z.boolean().default(false).describe('only list the names'),
  }),
  positionals: ['name'],
  settings: async ({ name }) => (name === undefined ? undefined : (await load(name)).options),
  async run({ name, list, set }, io) {
    const names = await benchmarks();
    const results: Record<string, unknown> = {};
    if (list) return { names, results };
    for (const [index, each] of names.entries()) {
      if (name !== undefined && each !== name) continue;
      const { measure, long = false } = await load(each);
      if (name === undefined && long) continue;
      io.progress(each, index, names.length);
      results[each] = await measure(set);
    }
    return { names: Object.keys(results), results };
  },
  show: ({ names, results }) =>
    names.map((name) => (name in results ? `${name}: ${textOf(results[name])}` : name)).join('\n'),
});

/** What a file in build/bench exports. */
interface Benchmark {
  measure(settings: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Schema of `--set`. */
  readonly options?: z.ZodObject;
  /** It takes hours. */
  readonly long?: boolean;
}

const folder = join(import.meta.dirname, '..', '..', '..', 'build', 'bench');

async function benchmarks(): Promise<string[]> {
  const { existsSync, readdirSync } = await import('node:fs');
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3))
    .sort();
}

async function load(name: string): Promise<Benchmark> {
  const { pathToFileURL } = await import('node:url');
  const names = await benchmarks();
  if (!names.includes(name)) {
    throw new NorthlightError('usage', `There is no benchmark "${name}".`, suggestion(name, names));
  }
  const module: unknown = await import(pathToFileURL(join(folder, `${name}.ts`)).href);
  if (typeof (module as Partial<Benchmark>).measure === 'function') return module as Benchmark;
  throw new NorthlightError('bench/no-measure', `build/bench/${name}.ts does not export "measure".`);
}

/** Text as a benchmark wrote it; numbers as they are. */
const textOf = (result: unknown): string =>
  typeof result === 'object' && result !== null && 'text' in result
    ? `\n\n${String(result.text)}`
    : JSON.stringify(result, null, 2);
