import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createFakeElectron, type FakeChild, type FakeElectron, FakePort } from '#test/electron/fake-electron.ts';

/**
 * Wiring tests: the real main process code runs against a recording stand-in for Electron. They show what we ask of
 * Electron, not what Electron does with it.
 */

let fake: FakeElectron;

async function boot(setup: Parameters<typeof createFakeElectron>[0] = {}, ready = true): Promise<FakeElectron> {
  vi.resetModules();
  const created = createFakeElectron(setup);
  vi.doMock('electron', () => created.electron);
  await import('#electron/main.ts');
  if (ready) await created.becomeReady();
  return created;
}

const engineOf = (f: FakeElectron): FakeChild => f.children.findLast((child) => child.file.endsWith('engine.mjs'))!;
const win = () => fake.windows[0]!;

/** Emits an event that can be prevented and says whether it was. */
function prevented(emitter: { emit(name: string, ...args: unknown[]): unknown }, name: string, url = ''): boolean {
  let was = false;
  emitter.emit(name, { url, preventDefault: () => (was = true) });
  return was;
}

beforeEach(() => {
  vi.useRealTimers();
});

describe('before the app is ready', () => {
  beforeEach(async () => {
    fake = await boot({}, false);
  });

  test('the sandbox is switched on for every renderer, and no window exists yet', () => {
    expect(fake.of('enableSandbox')).toHaveLength(1);
    expect(fake.windows).toHaveLength(0);
  });

  test('the scheme is registered once, without bypassCSP or corsEnabled', () => {
    expect(fake.of('schemes')).toEqual([
      [[{ scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true } }]],
    ]);
  });

  test('no name is ever resolved and no background service of Chromium runs', () => {
    expect(fake.of('switch')).toEqual(
      expect.arrayContaining([
        ['host-resolver-rules', 'MAP * ~NOTFOUND'],
        ['disable-background-networking', undefined],
        ['disable-component-update', undefined],
        ['disable-domain-reliability', undefined],
      ]),
    );
    expect(fake.of('switch').map(([name]) => name)).not.toContain('no-sandbox');
  });

  test('crash reports stay on this machine', () => {
    expect(fake.of('crashReporter')).toEqual([[{ uploadToServer: false }]]);
  });
});

describe('a second start', () => {
  test('quits without a window when another instance runs', async () => {
    fake = await boot({ lock: false });
    expect(fake.of('quit')).toHaveLength(1);
    expect(fake.windows).toHaveLength(0);
    expect(fake.children).toHaveLength(0);
  });

  test('brings the first window to the front', async () => {
    fake = await boot();
    fake.electron.app.emit('second-instance');
    expect([fake.of('restore').length, fake.of('focus').length]).toEqual([1, 1]);
  });
});

describe('the window', () => {
  beforeEach(async () => {
    fake = await boot();
  });

  test('is sandboxed, isolated, without Node, and sets nothing that weakens it', () => {
    const { preload, ...preferences } = win().options.webPreferences!;
    expect(preload).toMatch(/preload\.cjs$/);
    expect(preferences).toEqual({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webviewTag: false,
      navigateOnDragDrop: false,
      spellcheck: false,
      devTools: true,
    });
  });

  test('loads our page and nothing else', () => {
    expect(fake.of('loadURL')).toEqual([['app://bundle/index.html']]);
  });

  test.each(['will-navigate', 'will-frame-navigate', 'will-redirect'])(
    '%s leads nowhere but to our own page',
    (event) => {
      const contents = win().webContents;
      for (const url of [
        'https://example.org/',
        'app://bundle.evil/',
        'app://evil/',
        'file:///etc/passwd',
        'app://x@bundle/',
        'javascript:1',
        '',
      ]) {
        expect([url, prevented(contents, event, url)]).toEqual([url, true]);
      }
      expect(prevented(contents, event, 'app://bundle/index.html')).toBe(false);
    },
  );

  test('opens no other window and embeds no page', () => {
    expect(win().webContents.openHandler!({ url: 'app://bundle/index.html' })).toEqual({ action: 'deny' });
    expect(prevented(win().webContents, 'will-attach-webview')).toBe(true);
    expect(fake.of('webrtc')).toEqual([['disable_non_proxied_udp']]);
  });

  test('a page that crashes is loaded again, three times at most', () => {
    for (let i = 0; i < 5; i++) win().webContents.emit('render-process-gone', {}, { reason: 'crashed' });
    expect(fake.of('reload')).toHaveLength(3);
  });

  test('a packaged app has no developer tools and no reload in its menu', async () => {
    const roles = (f: FakeElectron) => JSON.stringify(f.of('menu'));
    expect(roles(fake)).toContain('toggleDevTools');
    const packaged = await boot({ packaged: true });
    expect(packaged.windows[0]!.options.webPreferences!.devTools).toBe(false);
    expect(roles(packaged)).not.toMatch(/reload|toggleDevTools/i);
  });
});

/** Every permission name in Electron's typings, so that a new one is covered when the typings are updated. */
const PERMISSIONS = [
  ...new Set(
    [
      ...readFileSync('node_modules/electron/electron.d.ts', 'utf8').matchAll(
        /setPermission(?:Check|Request)Handler\(.*?permission: (.*?),/g,
      ),
    ].flatMap(([, names]) => names!.split('|').map((name) => name.trim().replaceAll("'", ''))),
  ),
];

describe('the session', () => {
  beforeEach(async () => {
    fake = await boot();
  });

  test('grants no permission, whichever Electron knows', () => {
    expect(PERMISSIONS.length).toBeGreaterThan(40);
    expect(PERMISSIONS).toContain('local-network');
    const call = (name: string, ...args: unknown[]) => fake.handlers[name]!(...(args as never[]));
    for (const permission of PERMISSIONS) {
      let granted: unknown;
      call('permissionRequest', {}, permission, (answer: unknown) => {
        granted = answer;
      });
      expect([permission, granted]).toEqual([permission, false]);
      expect([permission, call('permissionCheck', {}, permission)]).toEqual([permission, false]);
    }
    expect(call('devicePermission', { deviceType: 'usb' })).toBe(false);
    let streams: unknown;
    call('displayMedia', {}, (answer: unknown) => {
      streams = answer;
    });
    expect(streams).toBeNull();
  });

  test.each([
    ['https://example.org/x', true],
    ['http://127.0.0.1/', true],
    ['wss://example.org', true],
    ['ftp://example.org', true],
    ['file:///etc/passwd', true],
    ['chrome://gpu', true],
    ['nonsense', true],
    ['app://bundle/index.html', false],
    ['blob:app://bundle/1', false],
    ['data:image/png;base64,', false],
  ])('request to %s cancelled: %s', (url, cancel) => {
    let answer: unknown;
    fake.handlers.beforeRequest!(...([{ url }, (given: unknown) => (answer = given)] as never[]));
    expect(answer).toEqual({ cancel });
  });

  test('downloads nothing, fetches no dictionary, and has a proxy that leads nowhere', () => {
    expect(prevented(fake.electron.session.defaultSession, 'will-download')).toBe(true);
    expect(fake.of('spellChecker')).toEqual([[false]]);
    expect(fake.of('proxy')).toEqual([[{ proxyRules: 'http://127.0.0.1:9', proxyBypassRules: '<-loopback>' }]]);
    expect(fake.of('configureHostResolver')).toEqual([[expect.objectContaining({ secureDnsMode: 'off' })]]);
  });

  test('is in place before the window exists and before anything is loaded', () => {
    const order = fake.calls.map(([name]) => name);
    expect(order.indexOf('proxy')).toBeLessThan(order.indexOf('loadURL'));
    expect(order.indexOf('protocol')).toBeLessThan(order.indexOf('loadURL'));
  });
});

describe('the engine', () => {
  beforeEach(async () => {
    fake = await boot();
  });
  const page = () => win().webContents;

  test('is a process of its own, on the project, with only the environment it needs', async () => {
    process.env.NORTHLIGHT_TEST_SECRET = 'x';
    fake = await boot();
    delete process.env.NORTHLIGHT_TEST_SECRET;
    const engine = engineOf(fake);
    expect(engine.args).toEqual(['--project', '/home/someone/home/Northlight/default']);
    expect(engine.options.env).toHaveProperty('PATH');
    expect(engine.options.env).not.toHaveProperty('NORTHLIGHT_TEST_SECRET');
    expect(engine.options.env).not.toHaveProperty('NODE_OPTIONS');
  });

  test('gets a line to the page once both are there, whichever is first', () => {
    page().emit('did-finish-load');
    expect(page().posted).toHaveLength(0);
    engineOf(fake).emit('message', { t: 'ready' });
    expect(page().posted).toHaveLength(1);
    const { channel, ports } = page().posted[0]!;
    expect(channel).toBe('engine:port');
    const toEngine = engineOf(fake).messages.at(-1)!;
    expect(toEngine.message).toEqual({ t: 'window' });
    // Both ends belong to the same line.
    expect(toEngine.ports[0]!.other).toBe(ports[0]);
  });

  test('gets a fresh line when the page is loaded again', () => {
    engineOf(fake).emit('message', { t: 'ready' });
    expect(page().posted).toHaveLength(0);
    page().emit('did-finish-load');
    page().emit('did-finish-load');
    expect(page().posted).toHaveLength(2);
    expect(page().posted[0]!.ports[0]).not.toBe(page().posted[1]!.ports[0]);
  });

  test('has compute processes forked and wired for it, and killed on request', () => {
    engineOf(fake).emit('message', { t: 'spawn', id: 7 });
    const compute = fake.children.at(-1)!;
    expect(compute.file).toMatch(/compute\.mjs$/);
    expect(compute.options.env).toMatchObject({ MALLOC_MMAP_THRESHOLD_: expect.any(String) });
    const toEngine = engineOf(fake).messages.find(({ message }) => (message as { t: string }).t === 'compute')!;
    expect(toEngine.message).toEqual({ t: 'compute', id: 7 });
    expect(toEngine.ports[0]!.other).toBe(compute.messages[0]!.ports[0]);
    compute.emit('spawn');
    expect(engineOf(fake).messages.at(-1)!.message).toEqual({ t: 'compute-pid', id: 7, pid: compute.pid });
    engineOf(fake).emit('message', { t: 'kill', id: 7 });
    expect(compute.killed).toBe(true);
    compute.emit('exit', 15);
    expect(engineOf(fake).messages.at(-1)!.message).toEqual({ t: 'compute-exit', id: 7, detail: 'exit code 15' });
  });

  test('makes thumbnails for the page: asked once for each, answered with a file, and never left waiting by a crash', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'northlight-thumb-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, `${'ab'.repeat(32)}.webp`);
    writeFileSync(file, 'small');
    const ask = (hash: string) =>
      fake.handlers.protocol!(new Request(`app://bundle/thumb/${hash}`) as never) as Promise<Response>;
    const engine = engineOf(fake);
    const asked = () => engine.messages.filter(({ message }) => (message as { t: string }).t === 'thumbnail');
    const answers = [ask('ab'.repeat(32)), ask('ab'.repeat(32)), ask('cd'.repeat(32)), ask('ef'.repeat(32))];
    await vi.waitFor(() => expect(asked()).toHaveLength(3));
    engine.emit('message', { t: 'thumbnail', hash: 'ab'.repeat(32), path: file });
    engine.emit('message', { t: 'thumbnail', hash: 'cd'.repeat(32), path: null });
    engine.emit('exit', 134);
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 404, 404]);
    expect(await (await answers[0]!).text()).toBe('small');
  });

  test('is started again after a crash, with growing pauses, and given up after three', async () => {
    vi.useFakeTimers();
    fake = await boot();
    engineOf(fake).emit('message', { t: 'spawn', id: 1 });
    const compute = fake.children.at(-1)!;
    const starts = () => fake.children.filter((child) => child.file.endsWith('engine.mjs')).length;
    for (const [restart, delay] of [250, 1000, 4000].entries()) {
      engineOf(fake).emit('exit', 134);
      vi.advanceTimersByTime(delay - 1);
      expect(starts()).toBe(restart + 1);
      vi.advanceTimersByTime(1);
      expect(starts()).toBe(restart + 2);
    }
    expect(compute.killed).toBe(true);
    expect(fake.of('errorBox')).toHaveLength(0);
    engineOf(fake).emit('exit', 134);
    vi.advanceTimersByTime(60_000);
    expect(starts()).toBe(4);
    expect(fake.of('errorBox')).toEqual([[expect.any(String), expect.stringContaining('exit code 134')]]);
  });

  test('that says why it cannot start is not started again; the person is told', async () => {
    vi.useFakeTimers();
    fake = await boot();
    engineOf(fake).emit('message', { t: 'failed', message: 'The project is open elsewhere.', hint: 'Close it there.' });
    engineOf(fake).emit('exit', 1);
    vi.advanceTimersByTime(60_000);
    expect(fake.of('errorBox')).toEqual([[expect.any(String), 'The project is open elsewhere. Close it there.']]);
    expect(fake.children).toHaveLength(1);
  });

  test('keeps the machine awake exactly while jobs run, and shows how far they are', () => {
    const say = (running: number, fraction: number | null) =>
      engineOf(fake).emit('message', { t: 'status', running, fraction });
    say(1, 0.25);
    say(2, 0.5);
    expect(fake.of('powerSave')).toEqual([['prevent-app-suspension']]);
    expect(fake.of('powerSaveEnd')).toEqual([]);
    say(0, null);
    say(0, null);
    expect(fake.of('powerSaveEnd')).toEqual([[1]]);
    expect(fake.of('progressBar').map(([value]) => value)).toEqual([0.25, 0.5, -1, -1]);
    say(1, 0);
    engineOf(fake).emit('exit', 134);
    expect(fake.of('powerSaveEnd')).toEqual([[1], [2]]);
  });
});

describe('quitting', () => {
  const settle = async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  beforeEach(async () => {
    fake = await boot();
  });
  const shutdowns = () =>
    engineOf(fake).messages.filter(({ message }) => (message as { t: string }).t === 'shutdown').length;

  test('without a job stops the engine, waits for it, and asks nothing', async () => {
    expect(prevented(win(), 'close')).toBe(true);
    await settle();
    expect([shutdowns(), fake.of('gone').length, fake.of('messageBox').length]).toEqual([1, 0, 0]);
    engineOf(fake).emit('exit', 0);
    await settle();
    expect(fake.of('gone')).toHaveLength(1);
    expect(prevented(win(), 'close')).toBe(false);
  });

  test('with a running job asks first, and stays when told to', async () => {
    engineOf(fake).emit('message', { t: 'status', running: 1, fraction: 0 });
    fake.answers.messageBox = 0;
    fake.electron.app.quit();
    await settle();
    expect([fake.of('messageBox').length, shutdowns()]).toEqual([1, 0]);
    fake.answers.messageBox = 1;
    fake.electron.app.quit();
    await settle();
    expect([fake.of('messageBox').length, shutdowns()]).toEqual([2, 1]);
  });

  test('kills an engine that does not stop in ten seconds, with its compute processes', async () => {
    vi.useFakeTimers();
    fake = await boot();
    engineOf(fake).emit('message', { t: 'spawn', id: 1 });
    const compute = fake.children.at(-1)!;
    fake.electron.app.quit();
    await settle();
    vi.advanceTimersByTime(9_999);
    expect(engineOf(fake).killed).toBe(false);
    vi.advanceTimersByTime(1);
    expect([engineOf(fake).killed, compute.killed]).toEqual([true, true]);
  });
});

describe('what the page may ask of the desktop', () => {
  beforeEach(async () => {
    fake = await boot();
  });
  const trusted = () => ({ sender: win().webContents, senderFrame: win().webContents.mainFrame });
  const channels = ['host:pick-folder', 'host:show-item'];

  test('is exactly two things', () => {
    expect(Object.keys(fake.ipc).sort()).toEqual(channels);
  });

  test.each(channels)('%s refuses every sender but our own page in its main frame', async (channel) => {
    const contents = win().webContents;
    const bad = [
      { sender: contents, senderFrame: null },
      { sender: contents, senderFrame: { url: 'app://bundle/index.html' } },
      { sender: { mainFrame: contents.mainFrame }, senderFrame: contents.mainFrame },
    ];
    for (const event of bad) expect(() => fake.ipc[channel]!(event, '/x')).toThrow(/refused/);
    contents.mainFrame.url = 'app://bundle.evil/';
    expect(() => fake.ipc[channel]!(trusted(), '/x')).toThrow(/refused/);
    expect([fake.of('openDialog'), fake.of('showItem')]).toEqual([[], []]);
  });

  test('a folder is picked, the last one is offered again, and nothing is null', async () => {
    const pick = () => fake.ipc['host:pick-folder']!(trusted());
    expect(await pick()).toBeNull();
    fake.answers.openDialog = ['/models/one'];
    expect(await pick()).toBe('/models/one');
    await pick();
    expect(fake.of('openDialog').at(-1)![0]).toMatchObject({
      properties: ['openDirectory'],
      defaultPath: '/models/one',
    });
  });

  test('only files of the project are shown', () => {
    const project = '/home/someone/home/Northlight/default';
    const show = (path: unknown) => () => fake.ipc['host:show-item']!(trusted(), path);
    for (const path of ['/etc/passwd', `${project}/../../x`, `${project}-evil/x`, 'samples/x', 7, undefined]) {
      expect(show(path)).toThrow(/refused/);
    }
    show(`${project}/samples/a.png`)();
    expect(fake.of('showItem')).toEqual([[`${project}/samples/a.png`]]);
  });
});

test('a port keeps early messages until somebody listens', async () => {
  const { portWire } = await import('#electron/port-wire.ts');
  const [a, b] = [new FakePort(), new FakePort()];
  a.other = b;
  b.other = a;
  const [left, right] = [portWire<string, string>(a as never), portWire<string, string>(b as never)];
  const heard: string[] = [];
  left.send('early');
  right.onMessage((message) => heard.push(message));
  left.send('late');
  let closed = false;
  right.onClose(() => {
    closed = true;
  });
  left.close();
  expect([heard, closed]).toEqual([['early', 'late'], true]);
});
