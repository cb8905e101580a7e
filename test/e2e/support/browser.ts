import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

/** One message between window and engine, as it went over the wire. */
interface Frame {
  readonly t: string;
  readonly id?: number;
  readonly m?: string;
  readonly p?: Record<string, unknown>;
}

/** A window in a real browser, with all it asked for and complained about. */
export interface Window {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Addresses of every request and socket. */
  readonly requests: string[];
  /** Console errors, uncaught exceptions and violations of the content policy. */
  readonly complaints: string[];
  /** Trials whose vote the engine has confirmed to the window, in order. */
  readonly acknowledged: string[];
  close(): Promise<void>;
}

/** @throws Error that says how to install a browser where there is none. */
export async function openWindow(): Promise<Window> {
  const executablePath = PLACES.find((path) => existsSync(path));
  if (executablePath === undefined) {
    throw new Error('The window is tested in Chromium, which is not installed. Run: node build/scripts/setup.ts');
  }
  const browser: Browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  const page = await context.newPage();
  // Busy machines are slow; a wait that fails says what it waited for.
  page.setDefaultTimeout(120_000);
  const requests: string[] = [];
  const complaints: string[] = [];
  const acknowledged: string[] = [];
  context.on('request', (request) => requests.push(request.url()));
  page.on(
    'console',
    (message) => message.type() === 'error' && complaints.push(`${message.text()} ${message.location().url}`),
  );
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  page.on('websocket', (socket) => {
    requests.push(socket.url());
    const asked = new Map<number, string>();
    socket.on('framesent', ({ payload }) => {
      const frame = JSON.parse(String(payload)) as Frame;
      if (frame.m === 'sessions.vote') asked.set(frame.id!, String(frame.p?.trialId));
    });
    socket.on('framereceived', ({ payload }) => {
      const frame = JSON.parse(String(payload)) as Frame;
      const trial = frame.t === 'ok' ? asked.get(frame.id!) : undefined;
      if (trial !== undefined) acknowledged.push(trial);
    });
  });
  return { page, context, requests, complaints, acknowledged, close: () => browser.close() };
}
