import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { buildPreload } from '#build/scripts/build-desktop.ts';
import { desktop } from '#renderer/state/host.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-preload-'));
afterAll(() => rmSync(folder, { recursive: true }));
let source = '';
beforeAll(async () => {
  await buildPreload(folder);
  source = readFileSync(join(folder, 'preload.cjs'), 'utf8');
});

/** Runs the bundle as a sandboxed renderer would: CommonJS, and `require` gives `electron` only. */
function run() {
  const exposed: Record<string, Record<string, (...args: unknown[]) => unknown>> = {};
  const posted: unknown[][] = [];
  const invoked: unknown[][] = [];
  const required: string[] = [];
  const listeners = new Map<string, (event: unknown, ...args: unknown[]) => unknown>();
  const electron = {
    contextBridge: {
      exposeInMainWorld: (name: string, value: (typeof exposed)[string]) => {
        exposed[name] = value;
      },
    },
    ipcRenderer: {
      on: (channel: string, listener: (event: unknown) => unknown) => listeners.set(channel, listener),
      invoke: async (...args: unknown[]) => {
        invoked.push(args);
        return '/picked';
      },
    },
    webUtils: { getPathForFile: () => '/a/file' },
  };
  runInNewContext(source, {
    require: (name: string) => {
      required.push(name);
      if (name !== 'electron') throw new Error(`a sandboxed preload cannot require ${name}`);
      return electron;
    },
    module: { exports: {} },
    exports: {},
    window: { postMessage: (...args: unknown[]) => posted.push(args), location: { origin: 'app://bundle' } },
  });
  return { exposed, posted, invoked, required, listeners };
}

describe('the bundled preload', () => {
  test('is one CommonJS file that needs electron and nothing else', () => {
    expect(run().required).toEqual(['electron']);
    expect(source).not.toMatch(/^\s*(import|export)\b/m);
    expect(source).not.toContain('node:');
  });

  test('exposes three verbs, frozen, and nothing else', () => {
    const { exposed } = run();
    expect(Object.keys(exposed)).toEqual(['host']);
    expect(Object.keys(exposed.host!).sort()).toEqual(['pathForFile', 'pickFolder', 'showItem']);
    expect(Object.isFrozen(exposed.host)).toBe(true);
  });

  test('hands the port of the engine on to the page, to its own origin only', () => {
    const { listeners, posted } = run();
    const port = { port: true };
    listeners.get('engine:port')!({ ports: [port], sender: 'secret' });
    expect([...listeners.keys()]).toEqual(['engine:port']);
    expect(JSON.parse(JSON.stringify(posted))).toEqual([['engine:port', 'app://bundle', [{ port: true }]]]);
  });

  test('verbs call their own channels with plain values and leak no event', async () => {
    const { exposed, invoked } = run();
    const { pickFolder, pathForFile, showItem } = exposed.host!;
    expect(await pickFolder!()).toBe('/picked');
    expect(pathForFile!({})).toBe('/a/file');
    expect(await showItem!({ toString: () => '/x' })).toBeUndefined();
    expect(invoked).toEqual([['host:pick-folder'], ['host:show-item', '/x']]);
  });

  test('gives the page what the page looks for, and a browser has nothing of it', async () => {
    expect(desktop()).toEqual({});
    const { exposed, invoked } = run();
    vi.stubGlobal('window', exposed);
    const { pickFolder, pathForFile } = desktop();
    vi.unstubAllGlobals();
    expect(await pickFolder!()).toBe('/picked');
    expect(pathForFile!(new File([], 'model'))).toBe('/a/file');
    expect(invoked).toEqual([['host:pick-folder']]);
  });
});
