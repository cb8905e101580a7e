import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildDesktop } from './build-desktop.ts';
import { buildRenderer } from './build-renderer.ts';
import { outFolder, sourceState, stampFile } from './stale.ts';

/** Builds the window and the desktop processes into `build/out`, and notes what they were built from. */
export async function buildAll(): Promise<void> {
  const state = sourceState();
  await buildRenderer();
  await buildDesktop();
  writeFileSync(join(outFolder, stampFile), state);
}

if (import.meta.main) {
  const started = performance.now();
  await buildAll();
  console.log(`Built into build/out in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
}
