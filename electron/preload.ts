import { contextBridge, ipcRenderer, webUtils } from 'electron';
import type { DesktopHost } from '#pipelines/engine/contract.ts';

// Ports cannot cross the context bridge, so the engine's port goes on to the page as a window message.
ipcRenderer.on('engine:port', (event) => {
  window.postMessage('engine:port', window.location.origin, [...event.ports]);
});

/** What the page can ask of the desktop: verbs only, never `ipcRenderer` itself, and no event reaches the page. */
const host: DesktopHost = {
  pickFolder: () => ipcRenderer.invoke('host:pick-folder'),
  pathForFile: (file) => webUtils.getPathForFile(file),
  showItem: async (path) => {
    await ipcRenderer.invoke('host:show-item', String(path));
  },
};

contextBridge.exposeInMainWorld('host', Object.freeze(host));
