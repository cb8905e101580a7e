import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '#models/files.ts';
import type { Bank } from './bank.ts';
import { rewardKey } from './reward-key.ts';

const column = z.object({
  /** As it was asked for first; what counts is its key. */
  reward: z.string(),
  name: z.string(),
  higherIsBetter: z.boolean(),
  /** By the reward as it gives them, of samples 0, 1, 2, … */
  values: z.array(z.number()),
});
/** What a reward says of the samples of a bank, as far as they were scored. */
export type Column = z.infer<typeof column>;

const pathOf = (bank: Bank, spec: string) => join(bank.directory, 'rewards', `${rewardKey(spec)}.json`);

/** Null where the reward has scored nothing yet. A file that cannot be read is one that is not there: it is scored again. */
export const readColumn = (bank: Bank, spec: string): Column | null => readAt(bank, pathOf(bank, spec));

function readAt(bank: Bank, path: string): Column | null {
  if (!existsSync(path)) return null;
  try {
    const found = column.parse(JSON.parse(readFileSync(path, 'utf8')));
    return { ...found, values: found.values.slice(0, bank.items.length) };
  } catch {
    return null;
  }
}

/** All that was said of a bank, by the name of the reward. */
export function allColumns(bank: Bank): Column[] {
  const folder = join(bank.directory, 'rewards');
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => /^[0-9a-f]{64}\.json$/.test(name)) : [];
  return files.flatMap((name) => readAt(bank, join(folder, name)) ?? []).sort((a, b) => (a.reward < b.reward ? -1 : 1));
}

/** @throws {NorthlightError} `file/…` */
export function writeColumn(bank: Bank, spec: string, values: Column): void {
  mkdirSync(join(bank.directory, 'rewards'), { recursive: true });
  writeFileAtomic(pathOf(bank, spec), `${JSON.stringify(values)}\n`);
}

/** The values of a column where higher is better. */
export const upwards = ({ values, higherIsBetter }: Column): Float64Array =>
  Float64Array.from(values, (v) => (higherIsBetter ? v : -v));
