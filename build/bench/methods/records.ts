import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';

const sample = z.object({
  /** Of the sample, within its seed. */
  index: z.int(),
  reward: z.number(),
  heldOut: z.number(),
  /** What the truth says, where there is one. */
  exact: z.number().nullable(),
  /** Approximate, in nats. */
  logLikelihood: z.number(),
  logWeight: z.number().nullable(),
  /** Samples of one group were asked for alike. */
  group: z.int(),
  /** What diversity is measured on: the sequence, or a small picture as base64. */
  look: z.string(),
});
export type SampleRecord = z.output<typeof sample>;

const record = z.object({
  /** Model and reward: `flora/compressibility`. */
  subject: z.string(),
  method: z.string(),
  seed: z.int(),
  /** All that decides the samples besides their numbers. */
  made: z.record(z.string(), z.unknown()),
  samples: z.array(sample),
  calls: z.object({ denoiser: z.number(), reward: z.number(), value: z.number(), gradient: z.number() }),
  /** Of sampling, and of what was measured of the samples afterwards. */
  seconds: z.object({ sampling: z.number(), measuring: z.number() }),
});
/** Some samples of one method and seed, in a file of their own: what was measured survives whatever stops the program. */
export type Part = z.output<typeof record>;

export interface PartName {
  readonly subject: string;
  readonly method: string;
  readonly seed: number;
  readonly first: number;
  readonly count: number;
}

const fileOf = ({ subject, method, seed, first, count }: PartName): string =>
  `${subject.replaceAll('/', '.')}.${method}.seed${seed}.${first}+${count}.json`;

export const hasPart = (folder: string, name: PartName): boolean => existsSync(join(folder, fileOf(name)));

export function writePart(folder: string, name: PartName, part: Part): void {
  writeFileAtomic(join(folder, fileOf(name)), `${JSON.stringify(part)}\n`);
}

/** All parts in a folder, those of the same subject and method made alike. @throws {NorthlightError} `bench/part`, `bench/settings`. */
export function readParts(folder: string): Part[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => /\.seed\d+\.\d+\+\d+\.json$/.test(name));
  const parts = names.sort().map((name): Part => {
    const path = join(folder, name);
    try {
      return record.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch (cause) {
      throw new NorthlightError('bench/part', `${path} is no part of this benchmark.`, 'Move it elsewhere.', { cause });
    }
  });
  const seen = new Map<string, string>();
  for (const { subject, method, made } of parts) {
    const settings = JSON.stringify(made);
    const before = seen.get(`${subject}/${method}`) ?? settings;
    if (before !== settings) throw otherSettings(folder, `${subject}/${method}`, before, settings);
    seen.set(`${subject}/${method}`, settings);
  }
  return parts;
}

/** Refuses to add to parts that were made otherwise. */
export function refuseOthers(
  folder: string,
  parts: readonly Part[],
  subject: string,
  method: string,
  made: object,
): void {
  const other = parts.find(
    (p) => p.subject === subject && p.method === method && JSON.stringify(p.made) !== JSON.stringify(made),
  );
  if (other) throw otherSettings(folder, `${subject}/${method}`, JSON.stringify(other.made), JSON.stringify(made));
}

const otherSettings = (folder: string, what: string, before: string, now: string) =>
  new NorthlightError(
    'bench/settings',
    `${folder} holds parts of ${what} that were made with ${before}, not with ${now}.`,
    'Give another folder, or the settings of before.',
  );
