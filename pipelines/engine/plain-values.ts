import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '#models/files.ts';
import { type PlainValues, plainValues } from './bank-contract.ts';

const pathOf = (project: string, jobId: string): string => join(project, 'jobs', jobId, 'plain.json');

/** Keeps what the rewards of a job said of plain samples, to compare what it makes with. */
export function keepPlain(project: string, jobId: string, plain: readonly PlainValues[]): void {
  const path = pathOf(project, jobId);
  mkdirSync(dirname(path), { recursive: true });
  writeFileAtomic(path, JSON.stringify(plain));
}

/** Empty where nothing was kept, or nothing that can be read. */
export function readPlain(project: string, jobId: string): PlainValues[] {
  const path = pathOf(project, jobId);
  if (!existsSync(path)) return [];
  try {
    return z.array(plainValues).parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return [];
  }
}
