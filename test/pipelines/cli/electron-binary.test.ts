import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { electronBinary } from '#pipelines/cli/electron-binary.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-electron-'));
afterEach(() => {
  delete process.env.ELECTRON_OVERRIDE_DIST_PATH;
  rmSync(folder, { recursive: true, force: true });
});

test('a binary that was put elsewhere is found, an empty folder is not one', () => {
  process.env.ELECTRON_OVERRIDE_DIST_PATH = join(folder, 'absent');
  expect(electronBinary()).toBeUndefined();
  process.env.ELECTRON_OVERRIDE_DIST_PATH = folder;
  for (const name of ['electron', 'electron.exe']) writeFileSync(join(folder, name), '');
  expect(electronBinary()).toMatch(/electron/);
});

test('looking for the binary never starts a download', () => {
  const source =
    "import('#pipelines/cli/electron-binary.ts').then(({ electronBinary }) => console.log(typeof electronBinary()))";
  const said = execFileSync(process.execPath, ['-e', source], { encoding: 'utf8' });
  expect(said).toMatch(/^(string|undefined)\n$/);
});
