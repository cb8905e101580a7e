import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { _electron, type ElectronApplication, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { electronBinary } from '#pipelines/cli/electron-binary.ts';

/**
 * The real desktop app. Runs only where Electron's binary is installed; REQUIRE_ELECTRON=1 turns its absence into a failure.
 * On Linux without a screen run it under xvfb-run.
 */

const binary = electronBinary();
const required = process.env.REQUIRE_ELECTRON === '1';
const TESTS = 6;

if (binary === undefined && !required) console.warn(`SKIPPED (no Electron binary): ${TESTS} tests`);

test('the Electron binary is there where it is required', () => {
  expect(required && binary === undefined).toBe(false);
});

describe.skipIf(binary === undefined)('the desktop app', () => {
  const project = mkdtempSync(join(tmpdir(), 'northlight-desktop-'));
  let app: ElectronApplication;
  let page: Page;

  beforeAll(async () => {
    await run(process.execPath, [resolve('build/scripts/build.ts')]);
    app = await _electron.launch({ executablePath: binary!, args: [resolve('.'), '--project', project] });
    page = await app.firstWindow();
    await page.waitForLoadState();
  });
  afterAll(async () => {
    await app?.close();
    rmSync(project, { recursive: true, force: true });
  });

  test('opens its page from the app scheme, connected to its engine', async () => {
    expect(page.url()).toBe('app://bundle/index.html');
    await page.getByRole('heading').first().waitFor();
  });

  test('gives the page no Node and exactly three verbs of the desktop', async () => {
    expect(
      await page.evaluate(() => [typeof Reflect.get(globalThis, 'require'), typeof Reflect.get(globalThis, 'process')]),
    ).toEqual(['undefined', 'undefined']);
    expect(await page.evaluate(() => Object.keys(Reflect.get(globalThis, 'host')).sort())).toEqual([
      'pathForFile',
      'pickFolder',
      'showItem',
    ]);
  });

  test('runs the page in the sandbox, with the preferences that were asked for', async () => {
    const preferences = await app.evaluate(({ BrowserWindow }) => {
      const contents = BrowserWindow.getAllWindows()[0]!.webContents;
      return (contents as unknown as { getLastWebPreferences(): Record<string, unknown> }).getLastWebPreferences();
    });
    expect(preferences).toMatchObject({ sandbox: true, contextIsolation: true, nodeIntegration: false });
  });

  test('refuses inline script, evaluation, other windows and the network', async () => {
    expect(await page.evaluate(() => window.open('https://example.org') === null)).toBe(true);
    expect(
      await page.evaluate(() =>
        fetch('https://example.org').then(
          () => 'loaded',
          () => 'refused',
        ),
      ),
    ).toBe('refused');
    const inline = await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'globalThis.inlineRan = true';
      document.body.append(script);
      return Reflect.get(globalThis, 'inlineRan') === true;
    });
    expect(inline).toBe(false);
  });

  test('grants no permission', async () => {
    const states = await page.evaluate(() =>
      Promise.all(
        ['geolocation', 'notifications', 'midi'].map(
          async (name) => (await navigator.permissions.query({ name: name as PermissionName })).state,
        ),
      ),
    );
    expect(states).not.toContain('granted');
  });

  test('lets only one instance run on a machine', async () => {
    expect(await run(binary!, [resolve('.'), '--project', project])).toBe(0);
    expect(app.windows()).toHaveLength(1);
  });
});

/** Runs a program to its end; returns its exit code. */
function run(program: string, args: readonly string[]): Promise<number | null> {
  const child: ChildProcess = spawn(program, args, { stdio: 'inherit' });
  return new Promise((ended, failed) => {
    child.on('exit', ended);
    child.on('error', failed);
  });
}
