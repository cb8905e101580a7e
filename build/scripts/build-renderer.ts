import { resolve } from 'node:path';
import { build } from 'vite';

const root = resolve(import.meta.dirname, '../..');

/** Builds the window into `build/out/renderer` and returns that folder. Throws what Vite reports when the build fails. */
export async function buildRenderer(): Promise<string> {
  await build({ configFile: resolve(root, 'vite.config.ts'), logLevel: 'warn' });
  return resolve(root, 'build/out/renderer');
}

if (import.meta.main) console.log(await buildRenderer());
