import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileError } from '#models/files.ts';
import { type Db, openDb } from './db.ts';
import { takeLock } from './lock.ts';

/** An open project folder. Only one engine at a time has it open. */
export interface Project {
  /** Absolute path. */
  readonly directory: string;
  readonly db: Db;
  close(): void;
}

export const PROJECT_FOLDERS = ['samples', 'trajectories', 'runs', 'adapters', 'jobs'] as const;

/**
 * Opens a project folder, creating it (and its parents) when it is not there.
 * @throws NorthlightError `store/in-use`, those of `openDb`, `file/not-writable`, `file/disk-full`.
 */
export function openProject(directory: string): Project {
  const root = resolve(directory);
  try {
    for (const folder of PROJECT_FOLDERS) mkdirSync(join(root, folder), { recursive: true });
  } catch (error) {
    throw fileError(error, root, 'write');
  }
  const unlock = takeLock(join(root, 'project.lock'), `The project ${root}`);
  try {
    const db = openDb(join(root, 'project.sqlite'));
    let open = true;
    return {
      directory: root,
      db,
      close: () => {
        if (!open) return;
        open = false;
        db.close();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}
