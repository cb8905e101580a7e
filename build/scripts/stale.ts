import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');
export const outFolder: string = resolve(root, 'build/out');

export type Part = 'renderer' | 'desktop';

/** The file that notes what a part was built from. */
export const stampOf = (part: Part): string => join(outFolder, `${part}.built-from`);

const SOURCES = ['electron', 'renderer', 'pipelines', 'models', 'build/scripts', 'package-lock.json', 'vite.config.ts'];

/** One hash over path, size and time of every source file: cheap, and different whenever a build could differ. */
export function sourceState(): string {
  const hash = createHash('sha256');
  const visit = (path: string) => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (found.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else if (!/\.(onnx|safetensors|data|md)$/.test(path))
      hash.update(`${relative(root, path)}\0${found.size}\0${found.mtimeMs}\n`);
  };
  for (const source of SOURCES) visit(join(root, source));
  return hash.digest('hex');
}

/** True when a part of `build/out` was not built from the sources as they are now. */
export function isStale(part: Part): boolean {
  const stamp = stampOf(part);
  return !existsSync(stamp) || readFileSync(stamp, 'utf8') !== sourceState();
}
