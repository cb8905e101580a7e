import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { summarise } from '#pipelines/cli/reward-summary.ts';
import type { RewardItem } from '#pipelines/rewards/types.ts';

const IMAGE = /\.(png|jpe?g|webp|tiff?|gif|bmp)$/i;
const FASTA = /\.(fasta|fa|fna|faa)$/i;
const CSV = /\.(csv|tsv)$/i;

/** Items per call of a reward: enough to be fast, few enough to show progress and to hold 512² pictures in memory. */
const BATCH = 16;

interface Entry {
  readonly path: string;
  readonly id: string;
  load(): Promise<RewardItem>;
}

export const score = defineCommand({
  name: 'score',
  summary: 'rewards of pictures, FASTA or CSV files',
  options: z.object({
    paths: z
      .array(z.string().min(1))
      .min(1)
      .describe('pictures, .fasta, .csv with a "sequence" column, or folders of them'),
    reward: z.array(z.string().min(1)).min(1).describe('SPEC, see the manual'),
    prompt: z.string().default('').describe('prompt the pictures were asked for, for rewards that read it'),
  }),
  positionals: ['paths'],
  async run(options, io) {
    const { createReward } = await import('#pipelines/rewards/index.ts');
    const entries = await collect(options.paths, options.prompt);
    const { seed, threads, provider } = options;
    const results = entries.map(({ path, id }) => ({ path, id, scores: {} as Record<string, number> }));
    const rewards: Record<string, { mean: number; std: number; min: number; max: number }> = {};
    const signal = io.signal;
    for (const spec of options.reward) {
      const reward = await createReward(spec, { seed, threads, provider });
      const values: number[] = [];
      try {
        for (let start = 0; start < entries.length && !signal.aborted; start += BATCH) {
          const items = await Promise.all(entries.slice(start, start + BATCH).map((entry) => entry.load()));
          const scores = await reward.score(items);
          for (const [k, value] of scores.entries()) {
            results[start + k]!.scores[spec] = value;
            values.push(value);
          }
          io.progress(reward.name, values.length, entries.length);
        }
      } finally {
        await reward.close();
      }
      if (values.length > 0) rewards[spec] = summarise(values);
    }
    return { count: entries.length, rewards, items: results };
  },
  show(result) {
    return [
      ...result.items.map((item) =>
        [
          ...Object.values(item.scores).map((value) => value.toPrecision(6)),
          item.id === '' ? item.path : `${item.path}:${item.id}`,
        ].join('\t'),
      ),
      ...Object.entries(result.rewards).map(
        ([spec, { mean, std }]) => `${spec}: ${mean.toPrecision(5)} ± ${std.toPrecision(3)} over ${result.count}`,
      ),
    ].join('\n');
  },
});

/** Files and folders as items, in the order given; folders by name. */
async function collect(paths: readonly string[], prompt: string): Promise<Entry[]> {
  const { readdirSync, readFileSync, statSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { fileError } = await import('#models/files.ts');
  const { decodeImage } = await import('#pipelines/images/images.ts');
  const { parseFasta, parseDelimited } = await import('#pipelines/cli/sequence-files.ts');
  const entries: Entry[] = [];
  const add = (path: string, inFolder: boolean) => {
    if (IMAGE.test(path)) {
      entries.push({
        path,
        id: '',
        async load() {
          const { data, width, height } = await decodeImage(path);
          return { kind: 'image', rgb: data, width, height, prompt };
        },
      });
    } else if (FASTA.test(path) || CSV.test(path)) {
      const text = readFileSync(path, 'utf8');
      const records = FASTA.test(path)
        ? parseFasta(text, path)
        : parseDelimited(text, path, /\.tsv$/i.test(path) ? '\t' : ',');
      for (const { id, sequence } of records) {
        entries.push({ path, id, load: async () => ({ kind: 'sequence', sequence }) });
      }
    } else if (!inFolder) {
      throw new NorthlightError(
        'file/unknown-kind',
        `${path} is neither a picture nor FASTA nor CSV.`,
        'Use .png, .jpg, .webp, .fasta, .csv or .tsv.',
      );
    }
  };
  for (const path of paths) {
    try {
      if (!statSync(path).isDirectory()) add(path, false);
      else for (const name of readdirSync(path).sort()) add(join(path, name), true);
    } catch (error) {
      throw fileError(error, path, 'read');
    }
  }
  if (entries.length === 0) {
    throw new NorthlightError(
      'file/nothing',
      `There is nothing to score in ${paths.join(', ')}.`,
      'Name pictures, FASTA or CSV files.',
    );
  }
  return entries;
}
