import { join } from 'node:path';
import type { z } from 'zod';
import { openJsonLines } from '#models/json-lines.ts';

/** What a job has finished, one JSON line each, durable before it is announced. */
export interface Journal<T> {
  readonly finished: readonly T[];
  append(entry: T): void;
  close(): void;
}

/** Opens the journal of a job; a last line cut short by a crash is dropped. */
export function openJournal<T>(project: string, jobId: string, schema: z.ZodType<T>): Journal<T> {
  const { lines, append, close } = openJsonLines(join(project, 'jobs', jobId, 'journal.jsonl'), schema);
  return { finished: lines, append, close };
}
