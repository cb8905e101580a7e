import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Path of the Electron binary, or undefined. Reads files only: requiring the package would start a download. */
export function electronBinary(): string | undefined {
  const require = createRequire(import.meta.url);
  let folder: string;
  try {
    folder = dirname(require.resolve('electron/package.json'));
  } catch {
    return undefined;
  }
  const override = process.env.ELECTRON_OVERRIDE_DIST_PATH;
  const name = join(folder, 'path.txt');
  if (!existsSync(name) && override === undefined) return undefined;
  const file = existsSync(name)
    ? readFileSync(name, 'utf8').trim()
    : process.platform === 'win32'
      ? 'electron.exe'
      : 'electron';
  const path = join(override ?? join(folder, 'dist'), file);
  return existsSync(path) ? path : undefined;
}
