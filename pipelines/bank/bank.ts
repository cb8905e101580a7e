import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { fileError, writeFileAtomic } from '#models/files.ts';
import { openJsonLines, readJsonLines } from '#models/json-lines.ts';
import { type BankIdentity, bankIdentity, bankKey } from './key.ts';

const item = z.object({
  /** Its noise is a function of (seed, index); it shows prompt number index mod prompts. */
  index: z.int().min(0),
  prompt: z.string(),
  /** A file of the bank, by its SHA-256, or letters with their token ids. */
  sample: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('image'), hash: z.string().regex(/^[0-9a-f]{64}$/) }),
    z.object({ kind: z.literal('sequence'), sequence: z.string(), tokens: z.array(z.int()) }),
  ]),
  /** What it took, its share of its batch. */
  seconds: z.number().min(0),
});
export type BankItem = z.infer<typeof item>;

/** Plain samples of one model under one set of prompts and settings, kept to be scored by any reward. */
export interface Bank {
  readonly key: string;
  readonly directory: string;
  readonly identity: BankIdentity;
  /** Samples 0, 1, 2, … as far as they are whole. */
  readonly items: readonly BankItem[];
}

/** Where the banks of a project lie. */
export const banksFolder = (project: string): string => join(project, 'banks');

export const picturePath = (directory: string, hash: string): string => join(directory, 'samples', `${hash}.png`);

const linesPath = (directory: string) => join(directory, 'samples.jsonl');
const identityPath = (directory: string) => join(directory, 'bank.json');

/** The bank of an identity as it lies in the project, empty where there is none yet. */
export function readBank(project: string, identity: BankIdentity): Bank {
  const key = bankKey(identity);
  const directory = join(banksFolder(project), key);
  return { key, directory, identity, items: wholeItems(directory, identity) };
}

/**
 * A bank of a project by its key, or the beginning of it.
 * @throws {NorthlightError} `bank/unknown`, `bank/damaged`.
 */
export function findBank(project: string, key: string): Bank {
  const found = bankKeys(project).filter((known) => known.startsWith(key));
  if (found.length === 1) {
    const directory = join(banksFolder(project), found[0]!);
    const identity = readIdentity(directory);
    return { key: found[0]!, directory, identity, items: wholeItems(directory, identity) };
  }
  throw new NorthlightError(
    'bank/unknown',
    found.length === 0 ? `There is no bank ${key} in ${project}.` : `Several banks begin with ${key}.`,
    found.length === 0 ? 'northlight bank show lists those there are.' : 'Write more of its name.',
  );
}

/** Names of the banks of a project, in order. */
export function bankKeys(project: string): string[] {
  try {
    return readdirSync(banksFolder(project))
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileError(error, banksFolder(project), 'read');
  }
}

function readIdentity(directory: string): BankIdentity {
  try {
    return bankIdentity.parse(JSON.parse(readFileSync(identityPath(directory), 'utf8')));
  } catch (error) {
    throw new NorthlightError(
      'bank/damaged',
      `${identityPath(directory)} does not say what the bank is of.`,
      'Delete its folder; the bank can be made again.',
      { cause: error },
    );
  }
}

/** A sample whose file is gone ends the bank: it and those after it are made again. */
function wholeItems(directory: string, identity: BankIdentity): BankItem[] {
  const lines = readJsonLines(linesPath(directory), item);
  const end = lines.findIndex(
    ({ index, sample }, i) =>
      index !== i ||
      sample.kind !== identity.kind ||
      (sample.kind === 'image' && !existsSync(picturePath(directory, sample.hash))),
  );
  return end < 0 ? lines : lines.slice(0, end);
}

/** A bank that is being added to. */
export interface GrowingBank {
  /** @param png of a picture. Both are on disk when it returns. */
  add(next: BankItem, png?: Uint8Array): void;
  close(): void;
}

/** @throws {NorthlightError} `file/…` */
export function openForGrowing(bank: Bank): GrowingBank {
  const { directory, identity, items } = bank;
  const path = linesPath(directory);
  try {
    mkdirSync(join(directory, 'samples'), { recursive: true });
  } catch (error) {
    throw fileError(error, directory, 'write');
  }
  if (!existsSync(identityPath(directory))) {
    writeFileAtomic(identityPath(directory), `${JSON.stringify(identity, null, 2)}\n`);
  }
  if (items.length < readJsonLines(path, item).length) {
    writeFileAtomic(path, items.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
  const lines = openJsonLines(path, item);
  return {
    add(next, png) {
      if (png && next.sample.kind === 'image') writeFileAtomic(picturePath(directory, next.sample.hash), png);
      lines.append(next);
    },
    close: lines.close,
  };
}
