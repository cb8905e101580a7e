import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '#models/files.ts';
import { userDataFolder } from '#models/user-data-folder.ts';
import { hashModelFolderInBackground, sizeOfModel, stampModelFolder } from './hash-folder.ts';

const remembered = z.object({ path: z.string(), stamp: z.string(), hash: z.string().regex(/^[0-9a-f]{64}$/) });

export interface RememberedHashOptions {
  /** Where hashes are kept, one file per model folder; null keeps none. Default: the user's data folder. */
  readonly cacheFolder?: string | null | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Smaller models are read each time: that takes less than a tenth of a second. */
  readonly fromBytes?: number;
}

const FROM_BYTES = 32 * 2 ** 20;

/**
 * `hashModelFolder` without reading gigabytes again: remembered while names, sizes and dates of the files stay the same. Files
 * are read in the background, so that a caller can go on and wait for it later.
 * @throws whatever reading the files throws, and an `AbortError` when `signal` is aborted.
 */
export async function rememberedModelHash(directory: string, options: RememberedHashOptions = {}): Promise<string> {
  const path = resolve(directory);
  const folder = options.cacheFolder === undefined ? join(userDataFolder(), 'models') : options.cacheFolder;
  if (folder === null || sizeOfModel(path) < (options.fromBytes ?? FROM_BYTES)) {
    return hashModelFolderInBackground(path, options.signal);
  }
  const file = join(folder, `${createHash('sha256').update(path).digest('hex')}.json`);
  const stamp = stampModelFolder(path);
  const kept = read(file);
  if (kept?.path === path && kept.stamp === stamp) return kept.hash;
  const hash = await hashModelFolderInBackground(path, options.signal);
  // A file that was written meanwhile was perhaps read half old, half new.
  if (stampModelFolder(path) === stamp) keep(folder, file, { path, stamp, hash });
  return hash;
}

function read(file: string): z.infer<typeof remembered> | null {
  try {
    return remembered.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    // Not there, or not readable: the model is read again.
    return null;
  }
}

function keep(folder: string, file: string, entry: z.infer<typeof remembered>): void {
  try {
    mkdirSync(folder, { recursive: true });
    writeFileAtomic(file, `${JSON.stringify(entry)}\n`);
  } catch {
    // A folder that cannot be written only means that the model is read again next time.
  }
}
