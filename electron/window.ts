import { join } from 'node:path';
import { BrowserWindow } from 'electron';
import { PAGE_URL } from './security.ts';

/** The window: sandboxed, isolated, without Node. `outFolder` holds the bundled preload. */
export function createWindow(outFolder: string, devTools: boolean): BrowserWindow {
  const window = new BrowserWindow({
    width: 1360,
    height: 880,
    minWidth: 900,
    minHeight: 600,
    show: false,
    title: 'Northlight',
    backgroundColor: '#16181d',
    webPreferences: {
      preload: join(outFolder, 'preload.cjs'),
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webviewTag: false,
      navigateOnDragDrop: false,
      spellcheck: false,
      devTools,
    },
  });
  window.once('ready-to-show', () => window.show());
  void window.loadURL(PAGE_URL);
  return window;
}
