import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

let known: string | undefined;

/** The version in the package file nearest above this one: the same in a checkout and in a bundle. */
export function programVersion(): string {
  known ??= findVersion();
  return known;
}

function findVersion(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    try {
      const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version?: unknown };
      if (typeof version === 'string') return version;
    } catch {
      // Not in this folder.
    }
    if (folder === dirname(folder)) return '0.0.0';
  }
}
