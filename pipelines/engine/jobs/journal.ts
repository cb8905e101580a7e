import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { fileError, writeFileAtomic, writeFully } from '#models/files.ts';

/** What a job has finished, one JSON line each, durable before it is announced. */
export interface Journal<T> {
  readonly finished: readonly T[];
  append(entry: T): void;
  close(): void;
}

/** Opens the journal of a job; a last line cut short by a crash is dropped. */
export function openJournal<T>(project: string, jobId: string, schema: z.ZodType<T>): Journal<T> {
  const folder = join(project, 'jobs', jobId);
  const path = join(folder, 'journal.jsonl');
  let fd: number;
  let text = '';
  try {
    mkdirSync(folder, { recursive: true });
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const finished: T[] = [];
    for (const line of text.split('\n').slice(0, -1)) {
      const entry = parseLine(line, schema);
      if (entry === undefined) break;
      finished.push(entry);
    }
    const whole = finished.map((e) => `${JSON.stringify(e)}\n`).join('');
    if (whole !== text) writeFileAtomic(path, whole);
    fd = openSync(path, 'a');
    return {
      finished,
      append(entry) {
        writeFully(fd, Buffer.from(`${JSON.stringify(entry)}\n`), path);
        fsyncSync(fd);
      },
      close: () => closeSync(fd),
    };
  } catch (error) {
    throw fileError(error, path, 'write');
  }
}

function parseLine<T>(line: string, schema: z.ZodType<T>): T | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
