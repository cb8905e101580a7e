import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Locator } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { openWindow, type Window } from './browser.ts';
import { buildWindow, type Serving, serve } from './serve.ts';

/** Waits of a busy machine. */
export const LONG = 600_000;

/** `expect`, asked again until it holds. */
export const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 120_000 });

interface Options {
  /** Before the engine is started. */
  readonly before?: (project: string, folder: string) => void | Promise<void>;
  /** Screenshots of the whole page. */
  readonly fullPage?: boolean;
  /** Milliseconds that what moves has to come to rest before a screenshot. */
  readonly settleMs?: number;
  /** In place of going to the window and waiting for the form of Generate. */
  readonly open?: (session: Session) => void | Promise<void>;
}

/** A window in a real browser on a real engine with a project of its own; SCREENSHOTS=folder keeps pictures of what was seen. */
export interface Session {
  readonly folder: string;
  readonly project: string;
  window: Window;
  serving: Serving;
  id(name: string): Locator;
  /** @param inSight what has to be in sight, by test id. */
  shoot(name: string, inSight?: string): Promise<void>;
  /** Rows of the project's database, read beside the engine. */
  rows(sql: string): Record<string, unknown>[];
  /** Whether screenshots are kept. */
  readonly keepsShots: boolean;
}

/** Opens one before the tests of the calling file, and closes it after them. @param name of its folder. */
export function openSession(name: string, options: Options = {}): Session {
  const folder = mkdtempSync(join(tmpdir(), `northlight-${name}-`));
  const project = join(folder, 'project');
  const shots = process.env.SCREENSHOTS;
  const session = {
    ...{ folder, project, keepsShots: shots !== undefined },
    id: (testId: string) => session.window.page.getByTestId(testId),
    rows(sql: string) {
      const db = new DatabaseSync(join(project, 'project.sqlite'), { readOnly: true });
      try {
        return db.prepare(sql).all() as Record<string, unknown>[];
      } finally {
        db.close();
      }
    },
    async shoot(picture: string, inSight?: string) {
      if (shots === undefined) return;
      mkdirSync(shots, { recursive: true });
      const { page } = session.window;
      if (inSight !== undefined) await session.id(inSight).scrollIntoViewIfNeeded();
      if (options.settleMs) await page.waitForTimeout(options.settleMs);
      await page.screenshot({ path: join(shots, `${picture}.png`), fullPage: options.fullPage ?? false });
    },
  } as Session;
  beforeAll(async () => {
    await options.before?.(project, folder);
    buildWindow();
    session.serving = await serve(project);
    session.window = await openWindow();
    if (options.open) return options.open(session);
    await session.window.page.goto(session.serving.url);
    await session.id('generate-start').waitFor();
  }, LONG);
  afterAll(async () => {
    await session.window?.close();
    await session.serving?.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }, LONG);
  return session;
}
