import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { summarise } from '#pipelines/cli/reward-summary.ts';
import { COMBINATIONS, type Combination, combineScores, statisticsOf } from '#pipelines/rewards/combine.ts';
import type { GuardedReward, ItemFailure } from '#pipelines/rewards/guarded.ts';
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

interface Item {
  readonly path: string;
  readonly id: string;
  readonly scores: Record<string, number>;
  /** With several rewards; higher is better. Absent where one of them failed. */
  combined?: number;
}

interface Failure {
  readonly path: string;
  readonly id: string;
  readonly reward: string;
  readonly code: string;
  readonly message: string;
}

type Summary = ReturnType<typeof summarise>;

/** Scores of one reward by item, NaN where it failed, and its weight, positive where higher is better. */
interface Column {
  readonly values: readonly number[];
  readonly weight: number;
}

export const score = defineCommand({
  name: 'score',
  summary: 'rewards of pictures, FASTA or CSV files',
  options: z.object({
    paths: z
      .array(z.string().min(1))
      .min(1)
      .describe('pictures, .fasta, .csv with a "sequence" column, or folders of them'),
    reward: z.array(z.string().min(1)).min(1).describe('SPEC or SPEC@WEIGHT, see docs/rewards.md'),
    combine: z
      .enum(COMBINATIONS)
      .default('sum')
      .describe(
        'how several rewards become one number: sum of standardised scores, krc (all good), worst, lexicographic',
      ),
    prompt: z.string().default('').describe('prompt the pictures were asked for, for rewards that read it'),
  }),
  positionals: ['paths'],
  async run(options, io) {
    const { createReward } = await import('#pipelines/rewards/index.ts');
    const { parseRewardSpec } = await import('#pipelines/rewards/spec.ts');
    const entries = await collect(options.paths, options.prompt);
    const { seed, threads, provider } = options;
    const items: Item[] = entries.map(({ path, id }) => ({ path, id, scores: {} }));
    const rewards: Record<string, Summary> = {};
    const failures: Failure[] = [];
    const columns: Column[] = [];
    const signal = io.signal;
    for (const { spec, weight } of options.reward.map(parseRewardSpec)) {
      const reward = await createReward(spec, { seed, threads, provider });
      const values: number[] = [];
      try {
        for (let start = 0; start < entries.length && !signal.aborted; start += BATCH) {
          const found = await scoreBatch(reward, entries.slice(start, start + BATCH));
          // All of the first failing: the reward is wrong, not some of the items. What others scored is kept.
          const nothingYet = start === 0 && columns.length === 0;
          if (nothingYet && found.failures.length === found.scores.length) throw found.failures[0]!.error;
          for (const { index, error } of found.failures) {
            const { path, id } = entries[start + index]!;
            // The place in the batch says nothing here.
            const message = error.message.replace(/^Item \d+: /, '');
            failures.push({ path, id, reward: spec, code: error.code, message });
          }
          for (const [k, value] of found.scores.entries()) {
            values.push(value);
            if (Number.isFinite(value)) items[start + k]!.scores[spec] = value;
          }
          io.progress(reward.name, values.length, entries.length);
        }
      } finally {
        await reward.close();
      }
      const scored = values.filter(Number.isFinite);
      if (scored.length > 0) rewards[spec] = summarise(scored);
      columns.push({ values, weight: reward.higherIsBetter ? weight : -weight });
    }
    if (columns.length > 1) combineItems(items, columns, options.combine);
    return { count: entries.length, rewards, items, failures };
  },
  show(result) {
    return [
      ...result.items.map((item) =>
        [
          ...Object.keys(result.rewards).map((spec) => item.scores[spec]?.toPrecision(6) ?? 'failed'),
          ...(item.combined === undefined ? [] : [item.combined.toPrecision(6)]),
          item.id === '' ? item.path : `${item.path}:${item.id}`,
        ].join('\t'),
      ),
      ...Object.entries(result.rewards).map(
        ([spec, { mean, std }]) =>
          `${spec}: ${mean.toPrecision(5)} ± ${std.toPrecision(3)} over ${result.items.filter((item) => spec in item.scores).length}`,
      ),
      ...result.failures.map(
        ({ path, id, reward, message }) => `${reward} of ${id === '' ? path : `${path}:${id}`} failed: ${message}`,
      ),
    ].join('\n');
  },
  exitCode: ({ failures }) => (failures.length === 0 ? 0 : 1),
});

/** Scores of a batch, NaN where one failed; an item that cannot be read fails like one that cannot be scored. */
async function scoreBatch(
  reward: GuardedReward,
  entries: readonly Entry[],
): Promise<{ readonly scores: number[]; readonly failures: ItemFailure[] }> {
  const loaded = await Promise.allSettled(entries.map((entry) => entry.load()));
  const readable = loaded.flatMap((l, index) => (l.status === 'fulfilled' ? [{ index, item: l.value }] : []));
  const unreadable = loaded.flatMap((l, index): ItemFailure[] => {
    if (l.status === 'fulfilled') return [];
    if (l.reason instanceof NorthlightError) return [{ index, error: l.reason }];
    throw l.reason;
  });
  const scores = entries.map(() => Number.NaN);
  if (readable.length === 0) return { scores, failures: unreadable };
  const found = await reward.scoreEach(readable.map(({ item }) => item));
  for (const [k, { index }] of readable.entries()) scores[index] = found.scores[k]!;
  const failed = found.failures.map(({ index, error }) => ({ index: readable[index]!.index, error }));
  return { scores, failures: [...unreadable, ...failed].sort((a, b) => a.index - b.index) };
}

/** The combined score of the items that every reward scored, compared with each other. */
function combineItems(items: Item[], columns: readonly Column[], combination: Combination): void {
  const whole = [...items.keys()].filter((i) => columns.every(({ values }) => Number.isFinite(values[i])));
  const scores = columns.map(({ values }) => whole.map((i) => values[i]!));
  const weights = columns.map(({ weight }) => weight);
  const combined = combineScores(combination, scores, weights, scores.map(statisticsOf));
  for (const [k, i] of whole.entries()) items[i]!.combined = combined[k]!;
}

/** Files and folders as items, in the order given; folders by name. */
async function collect(paths: readonly string[], prompt: string): Promise<Entry[]> {
  const { readdirSync, readFileSync, statSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { fileError } = await import('#models/files.ts');
  const { decodeImage } = await import('#pipelines/images/images.ts');
  const { parseFasta, parseDelimited } = await import('#pipelines/sequences/sequence-files.ts');
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
