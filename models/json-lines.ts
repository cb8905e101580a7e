import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { fileError, writeFileAtomic, writeFully } from './files.ts';

/** A file of one JSON value per line that only grows: each line is on disk when `append` returns. */
export interface JsonLines<T> {
  /** What stood in it when it was opened. */
  readonly lines: readonly T[];
  append(line: T): void;
  close(): void;
}

/**
 * Opens such a file, made where there is none; what follows a line that a crash cut short, or that is not of the schema, is dropped.
 * @throws {NorthlightError} `file/…`
 */
export function openJsonLines<T>(path: string, schema: z.ZodType<T>): JsonLines<T> {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const text = textOf(path);
    const lines = parseLines(text, schema);
    const whole = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    if (whole !== text) writeFileAtomic(path, whole);
    const fd = openSync(path, 'a');
    return {
      lines,
      append(line) {
        writeFully(fd, Buffer.from(`${JSON.stringify(line)}\n`), path);
        fsyncSync(fd);
      },
      close: () => closeSync(fd),
    };
  } catch (error) {
    throw fileError(error, path, 'write');
  }
}

/** The lines of such a file up to the first that is not whole; none where there is no file. @throws {NorthlightError} `file/…` */
export function readJsonLines<T>(path: string, schema: z.ZodType<T>): T[] {
  try {
    return parseLines(textOf(path), schema);
  } catch (error) {
    throw fileError(error, path, 'read');
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function parseLines<T>(text: string, schema: z.ZodType<T>): T[] {
  const lines: T[] = [];
  for (const line of text.split('\n').slice(0, -1)) {
    const parsed = parseLine(line, schema);
    if (parsed === undefined) break;
    lines.push(parsed);
  }
  return lines;
}

function parseLine<T>(line: string, schema: z.ZodType<T>): T | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
