import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Statements about the source itself: things that must not appear in it at all. */
const sources = readdirSync('electron').map((name) => [name, readFileSync(join('electron', name), 'utf8')] as const);

test.each([
  ['opens addresses outside', /openExternal/],
  ['loads files past the scheme', /loadFile|file:\/\//],
  [
    'weakens a page',
    /webSecurity|allowRunningInsecureContent|experimentalFeatures|enableBlinkFeatures|nodeIntegrationIn/,
  ],
  ['starts without the sandbox', /no-sandbox|disable-web-security|sandbox:\s*false|contextIsolation:\s*false/],
  ['embeds pages', /<webview|webviewTag:\s*true/],
  ['updates itself', /autoUpdater/],
  ['speaks to the network', /https?:\/\/(?!127\.0\.0\.1:9)|wss?:\/\//],
  ['hands ipcRenderer to the page', /exposeInMainWorld\([^)]*ipcRenderer/],
])('nothing in electron/ %s', (_what, pattern) => {
  expect(sources.filter(([, text]) => pattern.test(text)).map(([name]) => name)).toEqual([]);
});

test('the Electron that is built against is the one the lock file pins', () => {
  const pinned = JSON.parse(readFileSync('package.json', 'utf8')) as { devDependencies: { electron: string } };
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { version: string; integrity: string }>;
  };
  expect(pinned.devDependencies.electron).toMatch(/^\d+\.\d+\.\d+$/);
  expect(lock.packages['node_modules/electron']).toMatchObject({
    version: pinned.devDependencies.electron,
    integrity: expect.stringMatching(/^sha512-/),
  });
});
