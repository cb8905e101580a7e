import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { fileError } from '#models/files.ts';

const owner = z.object({ pid: z.number().int(), host: z.string(), started: z.string().nullable() });

/** Gives the lock back. Calling it twice is harmless. */
export type Unlock = () => void;

/**
 * Takes a lock file for this process. A lock whose process is gone is taken over; on Linux a process counts as gone also
 * when its id was given to another one since (its start time differs).
 * @throws NorthlightError `store/in-use`.
 */
export function takeLock(path: string, what: string): Unlock {
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), started: startTime(process.pid) });
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx' });
      return () => release(path, mine);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(error, path, 'write');
    }
    const found = readText(path);
    if (found === null) continue;
    refuseIfHeld(found, path, what);
    removeExactly(path, found);
  }
  throw new NorthlightError('store/in-use', `${what} is being opened by another Northlight.`, 'Try again in a moment.');
}

function refuseIfHeld(found: string, path: string, what: string): void {
  const parsed = owner.safeParse(parseJson(found));
  // A lock cut short by a crash names nobody.
  if (!parsed.success) return;
  const { pid, host, started } = parsed.data;
  if (host !== hostname()) {
    throw new NorthlightError(
      'store/in-use',
      `${what} was left open on the computer "${host}".`,
      `Close it there. If it is not open there any more, delete ${path}.`,
    );
  }
  if (!isAlive(pid) || startTime(pid) !== started) return;
  throw new NorthlightError(
    'store/in-use',
    `${what} is already open in another Northlight (process ${pid}).`,
    'Use that window, or close it first.',
  );
}

/** Removes the lock only if it still is the one judged stale: another process may have taken it over meanwhile. */
function removeExactly(path: string, expected: string): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (readText(aside) !== expected) {
    try {
      linkSync(aside, path);
    } catch {
      // Somebody created a newer lock; theirs stands.
    }
  }
  rmSync(aside, { force: true });
}

function release(path: string, mine: string): void {
  if (readText(path) === mine) rmSync(path, { force: true });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Field 22 of `/proc/<pid>/stat`, clock ticks since boot; null where there is no such file. A process that has ended but was
 * not yet collected by its parent has none.
 */
function startTime(pid: number): string | null {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The name (field 2) is in brackets and may itself contain spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}
