import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { fileError, sha256File, writeJsonAtomic } from '#models/files.ts';

const KEEP = 2;
const MANIFEST = 'manifest.json';
const manifest = z.object({
  version: z.literal(1),
  step: z.number().int().min(0),
  files: z.record(z.string(), z.object({ sha256: z.string(), sizeBytes: z.number().int() })),
});

/** A checkpoint whose every file has been read and found whole. */
export interface Checkpoint {
  readonly step: number;
  readonly folder: string;
  /** Newer checkpoints that were damaged and passed over. */
  readonly damaged: readonly string[];
}

/**
 * Saves a run's state after `step` updates, as the folder `checkpoints/step-<step>`. `fill` writes the files (flat names)
 * into the folder it is given; then their hashes go into a manifest, everything is synced, and the folder gets its name.
 * A reader sees a whole checkpoint or none. The last two are kept.
 * @throws NorthlightError `file/disk-full`, `file/not-writable`, `file/io`; the checkpoints before are left as they were.
 */
export function writeCheckpoint(runDirectory: string, step: number, fill: (folder: string) => void): string {
  const root = checkpointsFolder(runDirectory);
  const temporary = join(root, `.step-${step}.tmp`);
  const target = join(root, folderName(step));
  try {
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    fill(temporary);
    const files: z.output<typeof manifest>['files'] = {};
    for (const name of readdirSync(temporary).sort()) {
      const path = join(temporary, name);
      syncPath(path);
      files[name] = { sha256: sha256File(path), sizeBytes: statSync(path).size };
    }
    writeJsonAtomic(join(temporary, MANIFEST), { version: 1, step, files });
    // Only a run that went back to an older checkpoint writes the same step twice.
    rmSync(target, { recursive: true, force: true });
    renameSync(temporary, target);
    syncPath(root);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw fileError(error, target, 'write');
  }
  for (const name of list(root).slice(KEEP)) rmSync(join(root, name), { recursive: true, force: true });
  return target;
}

/** The newest whole checkpoint of a run, or null when there is none. */
export function readCheckpoint(runDirectory: string): Checkpoint | null {
  const root = checkpointsFolder(runDirectory);
  const damaged: string[] = [];
  for (const name of list(root)) {
    const folder = join(root, name);
    const step = verify(folder);
    if (step !== null) return { step, folder, damaged };
    damaged.push(folder);
  }
  if (damaged.length > 0) {
    throw new NorthlightError(
      'run/no-checkpoint',
      `Every checkpoint of ${runDirectory} is damaged.`,
      'Start the run anew; its votes and pictures are intact.',
    );
  }
  return null;
}

/** The step of a checkpoint whose files all match its manifest, else null. */
function verify(folder: string): number | null {
  try {
    const parsed = manifest.parse(JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8')));
    for (const [name, file] of Object.entries(parsed.files)) {
      const path = join(folder, name);
      if (statSync(path).size !== file.sizeBytes || sha256File(path) !== file.sha256) return null;
    }
    return parsed.step;
  } catch {
    return null;
  }
}

/** Names of the checkpoint folders, newest first. */
function list(root: string): string[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileError(error, root, 'read');
  }
  return names.filter((name) => /^step-\d{8,}$/.test(name)).sort((a, b) => Number(b.slice(5)) - Number(a.slice(5)));
}

function checkpointsFolder(runDirectory: string): string {
  return join(runDirectory, 'checkpoints');
}

function folderName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

function syncPath(path: string): void {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    fsyncSync(fd);
  } catch (error) {
    // Some systems do not sync folders, or not through a read-only descriptor; the rename itself is still atomic.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EISDIR' && code !== 'EPERM' && code !== 'EINVAL' && code !== 'EBADF') throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
