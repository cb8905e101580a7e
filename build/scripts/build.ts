import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPreload, buildProcesses } from './build-desktop.ts';
import { buildRenderer } from './build-renderer.ts';
import { outFolder, sourceState, stampOf } from './stale.ts';

/** Builds the window's page, which the desktop and the browser show. */
export async function buildWindow(): Promise<void> {
  const state = sourceState();
  await buildRenderer();
  writeFileSync(stampOf('renderer'), state);
}

/** Builds the desktop processes. Old shared pieces would otherwise pile up under their hashed names. */
export async function buildDesktop(): Promise<void> {
  const state = sourceState();
  for (const name of ['main.mjs', 'engine.mjs', 'compute.mjs', 'preload.cjs'])
    rmSync(join(outFolder, name), { force: true });
  mkdirSync(outFolder, { recursive: true });
  await buildProcesses();
  await buildPreload();
  writeFileSync(stampOf('desktop'), state);
}

if (import.meta.main) {
  const started = performance.now();
  await buildWindow();
  await buildDesktop();
  console.log(`Built into build/out in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
}
