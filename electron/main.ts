import { join, resolve } from 'node:path';
import { app, type BrowserWindow, crashReporter, dialog, powerSaveBlocker, protocol, session } from 'electron';
import { assetHandler } from './assets.ts';
import { createEngineHost, type EngineHost } from './engine-host.ts';
import { handleHostCalls } from './host-calls.ts';
import { setMenu } from './menu.ts';
import { lockContents, SCHEME, SCHEMES, secureBeforeReady, secureSession } from './security.ts';
import type { JobsStatus } from './watch-jobs.ts';
import { createWindow } from './window.ts';

/** Everything the app does to the desktop. What it does to networks and pictures is the engine's. */

const outFolder = import.meta.dirname;
const STOP_TIMEOUT_MS = 10_000;
/** A page that crashes again and again is left alone. */
const MAX_RELOADS = 3;

let window: BrowserWindow | undefined;
let blocker: number | undefined;
/** 'perhaps' while the person is asked and while the engine stops. */
let leaving: 'no' | 'perhaps' | 'now' = 'no';

protocol.registerSchemesAsPrivileged([...SCHEMES]);
secureBeforeReady(app);
crashReporter.start({ uploadToServer: false });

if (app.requestSingleInstanceLock()) {
  app.on('second-instance', () => {
    if (window?.isMinimized()) window.restore();
    window?.focus();
  });
  app.on('web-contents-created', (_event, contents) => lockContents(contents));
  void app.whenReady().then(ready);
} else {
  app.quit();
}

/** `--project DIR`, else the same folder that `serve` opens. */
function projectFolder(): string {
  const at = process.argv.indexOf('--project');
  const given = at < 0 ? undefined : process.argv[at + 1];
  return given === undefined ? join(app.getPath('home'), 'Northlight', 'default') : resolve(given);
}

async function ready(): Promise<void> {
  const project = projectFolder();
  const devTools = !app.isPackaged;
  app.configureHostResolver({ secureDnsMode: 'off', enableBuiltInResolver: false });
  await secureSession(session.defaultSession);
  const pictures = join(project, 'samples');
  setMenu(process.platform, devTools);

  const engine = createEngineHost({
    outFolder,
    args: ['--project', project],
    onReady: () => connect(),
    onStatus: showStatus,
    onGivenUp(message) {
      dialog.showErrorBox('Northlight cannot go on', message);
      app.quit();
    },
  });
  protocol.handle(
    SCHEME,
    assetHandler({
      window: join(outFolder, 'renderer'),
      pictures: () => pictures,
      thumbnail: (hash) => engine.thumbnail(hash),
    }),
  );
  let pageLoaded = false;
  let engineReady = false;
  const connect = () => {
    engineReady = true;
    if (pageLoaded) window?.webContents.postMessage('engine:port', null, [engine.connect()]);
  };
  const opened = createWindow(outFolder, devTools);
  window = opened;
  handleHostCalls(opened, project);
  // Also after a reload: the new page has no port yet.
  opened.webContents.on('did-finish-load', () => {
    pageLoaded = true;
    if (engineReady) connect();
  });
  let reloads = 0;
  opened.webContents.on('render-process-gone', (_event, { reason }) => {
    if (leaving === 'no' && reason !== 'clean-exit' && reloads++ < MAX_RELOADS) opened.webContents.reload();
  });
  opened.on('close', (event) => {
    if (leaving === 'now') return;
    event.preventDefault();
    app.quit();
  });
  app.on('before-quit', (event) => {
    if (leaving === 'now') return;
    event.preventDefault();
    if (leaving === 'no') void leave(engine, opened);
  });
  app.on('window-all-closed', () => app.quit());
  engine.start();
}

/** Keeps the machine awake while jobs run, and shows how far they are in the task bar. */
function showStatus({ running, fraction }: JobsStatus): void {
  if (running > 0) blocker ??= powerSaveBlocker.start('prevent-app-suspension');
  else if (blocker !== undefined) {
    powerSaveBlocker.stop(blocker);
    blocker = undefined;
  }
  if (window !== undefined && !window.isDestroyed()) window.setProgressBar(running > 0 ? (fraction ?? 0) : -1);
}

/** Asks when a job runs, brings the engine to a safe stop, then quits. */
async function leave(engine: EngineHost, over: BrowserWindow): Promise<void> {
  leaving = 'perhaps';
  if (engine.status.running > 0 && !(await askToQuit(over))) {
    leaving = 'no';
    return;
  }
  await engine.stop(STOP_TIMEOUT_MS);
  showStatus({ running: 0, fraction: null });
  leaving = 'now';
  app.quit();
}

async function askToQuit(over: BrowserWindow): Promise<boolean> {
  const { response } = await dialog.showMessageBox(over, {
    type: 'question',
    message: 'A job is still running.',
    detail: 'It stops after its current step, keeps what is finished, and can be resumed next time.',
    buttons: ['Keep running', 'Stop and quit'],
    defaultId: 0,
    cancelId: 0,
  });
  return response === 1;
}
