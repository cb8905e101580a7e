import { isAbsolute, relative, resolve, sep } from 'node:path';
import { type BrowserWindow, dialog, ipcMain, shell } from 'electron';
import { isTrustedSender } from './security.ts';

/** Channels the preload may call; each is checked for its sender. */
export const CHANNELS = { pickFolder: 'host:pick-folder', showItem: 'host:show-item' } as const;

/** Answers the window's few wishes that need the desktop. `project` is the only folder whose files may be shown. */
export function handleHostCalls(window: BrowserWindow, project: string): () => void {
  const handle = (channel: string, answer: (argument: unknown) => unknown) =>
    ipcMain.handle(channel, (event, argument: unknown) => {
      if (!isTrustedSender(event, window.webContents)) throw new Error(`${channel}: refused`);
      return answer(argument);
    });
  let lastFolder: string | undefined;
  handle(CHANNELS.pickFolder, async () => {
    const { canceled, filePaths } = await dialog.showOpenDialog(window, {
      properties: ['openDirectory'],
      ...(lastFolder === undefined ? {} : { defaultPath: lastFolder }),
    });
    const [folder] = filePaths;
    if (canceled || folder === undefined) return null;
    lastFolder = folder;
    return folder;
  });
  handle(CHANNELS.showItem, (path) => {
    if (typeof path !== 'string' || !isInside(project, path)) throw new Error(`${CHANNELS.showItem}: refused`);
    shell.showItemInFolder(resolve(path));
    return null;
  });
  return () => {
    for (const channel of Object.values(CHANNELS)) ipcMain.removeHandler(channel);
  };
}

function isInside(folder: string, path: string): boolean {
  if (!isAbsolute(path)) return false;
  const inside = relative(resolve(folder), resolve(path));
  return inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside);
}
