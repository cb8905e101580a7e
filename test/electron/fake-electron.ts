import { EventEmitter } from 'node:events';
import type {
  App,
  BrowserWindowConstructorOptions,
  CrashReporter,
  Dialog,
  IpcMain,
  MenuItemConstructorOptions,
  MessageBoxOptions,
  PowerSaveBlocker,
  Protocol,
  Session,
  Shell,
  WebContents,
} from 'electron';

/** Everything done to the fake, in order: `[what, ...arguments]`. */
export type Calls = [string, ...unknown[]][];

/** A port whose messages wait until the other end is started, as Electron's do. */
export class FakePort extends EventEmitter {
  other: FakePort | undefined;
  readonly waiting: unknown[] = [];
  started = false;
  closed = false;
  postMessage(message: unknown): void {
    this.other?.deliver(structuredClone(message));
  }
  private deliver(message: unknown): void {
    if (this.started) this.emit('message', { data: message, ports: [] });
    else this.waiting.push(message);
  }
  start(): void {
    this.started = true;
    for (const message of this.waiting.splice(0)) this.emit('message', { data: message, ports: [] });
  }
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.emit('close');
    this.other?.close();
  }
}

export class FakeChannel {
  readonly port1 = new FakePort();
  readonly port2 = new FakePort();
  constructor() {
    this.port1.other = this.port2;
    this.port2.other = this.port1;
  }
}

interface ForkOptions {
  readonly env: Record<string, string>;
  readonly serviceName: string;
}

export class FakeChild extends EventEmitter {
  readonly messages: { message: unknown; ports: FakePort[] }[] = [];
  killed = false;
  readonly file: string;
  readonly args: string[];
  readonly options: ForkOptions;
  readonly pid: number;
  constructor(file: string, args: string[], options: ForkOptions, pid: number) {
    super();
    this.file = file;
    this.args = args;
    this.options = options;
    this.pid = pid;
  }
  postMessage(message: unknown, ports: FakePort[] = []): void {
    this.messages.push({ message, ports });
  }
  kill(): boolean {
    this.killed = true;
    return true;
  }
}

class FakeContents extends EventEmitter {
  mainFrame = { url: 'app://bundle/index.html' };
  openHandler: ((details: { url: string }) => { action: string }) | undefined;
  readonly posted: { channel: string; message: unknown; ports: FakePort[] }[] = [];
  private readonly calls: Calls;
  constructor(calls: Calls) {
    super();
    this.calls = calls;
  }
  setWindowOpenHandler(handler: (details: { url: string }) => { action: string }): void {
    this.openHandler = handler;
  }
  postMessage(channel: string, message: unknown, ports: FakePort[]): void {
    this.posted.push({ channel, message, ports });
  }
  private readonly methods = {
    setWebRTCIPHandlingPolicy: (policy) => void this.calls.push(['webrtc', policy]),
    reload: () => void this.calls.push(['reload']),
  } satisfies Pick<WebContents, 'setWebRTCIPHandlingPolicy' | 'reload'>;
  setWebRTCIPHandlingPolicy = this.methods.setWebRTCIPHandlingPolicy;
  reload = this.methods.reload;
}

/**
 * A stand-in for the `electron` module that does nothing and records everything. Each part is typed by the real typings, so
 * that a renamed or changed method fails the type check.
 */
export function createFakeElectron(setup: { lock?: boolean; packaged?: boolean } = {}) {
  const calls: Calls = [];
  const log =
    (name: string) =>
    (...args: unknown[]): void => {
      calls.push([name, ...args]);
    };
  let setReady = () => {};
  const readyPromise = new Promise<void>((resolve) => {
    setReady = resolve;
  });

  const app = Object.assign(new EventEmitter(), {
    isPackaged: setup.packaged ?? false,
    enableSandbox: () => log('enableSandbox')(),
    requestSingleInstanceLock: () => setup.lock ?? true,
    whenReady: () => readyPromise,
    quit: () => {
      log('quit')();
      let prevented = false;
      app.emit('before-quit', { preventDefault: () => (prevented = true) });
      if (!prevented) log('gone')();
    },
    getPath: (name) => `/home/someone/${name}`,
    configureHostResolver: log('configureHostResolver'),
  } satisfies Pick<
    App,
    | 'isPackaged'
    | 'enableSandbox'
    | 'requestSingleInstanceLock'
    | 'whenReady'
    | 'quit'
    | 'getPath'
    | 'configureHostResolver'
  >);
  const commandLine = { appendSwitch: log('switch') } satisfies Pick<App['commandLine'], 'appendSwitch'>;

  const handlers: Record<string, (...args: never[]) => unknown> = {};
  const keep =
    (name: string) =>
    (handler: unknown): void => {
      handlers[name] = handler as (...args: never[]) => unknown;
    };
  const defaultSession = Object.assign(new EventEmitter(), {
    setPermissionRequestHandler: keep('permissionRequest'),
    setPermissionCheckHandler: keep('permissionCheck'),
    setDevicePermissionHandler: keep('devicePermission'),
    setDisplayMediaRequestHandler: keep('displayMedia'),
    setSpellCheckerEnabled: log('spellChecker'),
    setProxy: async (config) => log('proxy')(config),
  } satisfies Pick<
    Session,
    | 'setPermissionRequestHandler'
    | 'setPermissionCheckHandler'
    | 'setDevicePermissionHandler'
    | 'setDisplayMediaRequestHandler'
    | 'setSpellCheckerEnabled'
    | 'setProxy'
  >);
  const webRequest = { onBeforeRequest: keep('beforeRequest') };

  const windows: FakeWindow[] = [];
  class FakeWindow extends EventEmitter {
    readonly webContents = new FakeContents(calls);
    readonly options: BrowserWindowConstructorOptions;
    constructor(options: BrowserWindowConstructorOptions) {
      super();
      this.options = options;
      windows.push(this);
      app.emit('web-contents-created', {}, this.webContents);
    }
    loadURL = async (url: string) => log('loadURL')(url);
    show = log('show');
    focus = log('focus');
    restore = log('restore');
    isMinimized = () => true;
    isDestroyed = () => false;
    setProgressBar = log('progressBar');
  }

  const children: FakeChild[] = [];
  const utilityProcess = {
    fork(file: string, args: string[], options: ForkOptions) {
      const child = new FakeChild(file, args, options, 1000 + children.length);
      children.push(child);
      return child;
    },
  };

  const ipc: Record<string, (event: unknown, ...args: unknown[]) => unknown> = {};
  const answers: { messageBox: number; openDialog: string[] } = { messageBox: 0, openDialog: [] };
  let blockers = 0;
  const electron = {
    app: Object.assign(app, { commandLine }),
    BrowserWindow: FakeWindow,
    crashReporter: { start: log('crashReporter') } satisfies Pick<CrashReporter, 'start'>,
    dialog: {
      showErrorBox: log('errorBox'),
      showMessageBox: async (...args: unknown[]) => {
        log('messageBox')(args.at(-1) as MessageBoxOptions);
        return { response: answers.messageBox, checkboxChecked: false };
      },
      showOpenDialog: async (...args: unknown[]) => {
        log('openDialog')(args.at(-1));
        return { canceled: answers.openDialog.length === 0, filePaths: answers.openDialog };
      },
    } satisfies Pick<Dialog, 'showErrorBox' | 'showMessageBox' | 'showOpenDialog'>,
    ipcMain: {
      handle: (channel, listener) => {
        ipc[channel] = listener as (typeof ipc)[string];
      },
      removeHandler: (channel) => {
        delete ipc[channel];
      },
    } satisfies Pick<IpcMain, 'handle' | 'removeHandler'>,
    Menu: {
      buildFromTemplate: (template: MenuItemConstructorOptions[]) => template,
      setApplicationMenu: log('menu'),
    },
    MessageChannelMain: FakeChannel,
    powerSaveBlocker: {
      start: (type) => {
        log('powerSave')(type);
        return ++blockers;
      },
      stop: (id) => {
        log('powerSaveEnd')(id);
        return true;
      },
    } satisfies Pick<PowerSaveBlocker, 'start' | 'stop'>,
    protocol: {
      registerSchemesAsPrivileged: log('schemes'),
      handle: (scheme, handler) => {
        log('protocol')(scheme);
        handlers.protocol = handler as (...args: never[]) => unknown;
      },
    } satisfies Pick<Protocol, 'registerSchemesAsPrivileged' | 'handle'>,
    session: { defaultSession: Object.assign(defaultSession, { webRequest }) },
    shell: { showItemInFolder: log('showItem') } satisfies Pick<Shell, 'showItemInFolder'>,
    utilityProcess,
  };
  return {
    electron,
    calls,
    handlers,
    ipc,
    windows,
    children,
    answers,
    /** Arguments of every call of that name. */
    of: (name: string) => calls.filter(([called]) => called === name).map(([, ...args]) => args),
    async becomeReady() {
      setReady();
      // Ready, then the awaited set-up of the session.
      for (let i = 0; i < 10; i++) await Promise.resolve();
    },
  };
}

export type FakeElectron = ReturnType<typeof createFakeElectron>;
