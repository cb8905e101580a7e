import { contextBridge, ipcRenderer, webUtils } from 'electron';

// Ports cannot cross the context bridge, so the engine's port goes on to the page as a window message.
ipcRenderer.on('engine:port', (event) => {
  window.postMessage('engine:port', window.location.origin, [...event.ports]);
});

/** What the page can ask of the desktop: verbs only, never `ipcRenderer` itself, and no event reaches the page. */
const host = {
  pickFolder: (): Promise<string | null> => ipcRenderer.invoke('host:pick-folder'),
  pathForFile: (file: File): string => webUtils.getPathForFile(file),
  showItem: async (path: string): Promise<void> => {
    await ipcRenderer.invoke('host:show-item', String(path));
  },
};
export type Host = typeof host;

contextBridge.exposeInMainWorld('host', Object.freeze(host));
