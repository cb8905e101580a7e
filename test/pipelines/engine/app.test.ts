import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineContext } from '#pipelines/engine/context.ts';
import { procedures } from '#pipelines/engine/contract.ts';
import { app } from '#pipelines/engine/handlers/app.ts';

// What is found out about this machine goes to a folder of the test's own.
const folder = mkdtempSync(join(tmpdir(), 'northlight-app-'));
const before = { ...process.env };
beforeAll(() => Object.assign(process.env, { XDG_DATA_HOME: folder, LOCALAPPDATA: folder, HOME: folder }));
afterAll(() => {
  process.env = before;
  rmSync(folder, { recursive: true });
});

const info = { version: '1', host: 'browser', project: '/p', threads: 2 } as const;
const contextOf = (provider: EngineContext['provider']) => ({ info, provider }) as EngineContext;

test('app.providers says what each provider did with a small graph; the CPU is one of them', async () => {
  const found = procedures['app.providers'].output.parse(await app['app.providers']({}, contextOf('auto')));
  expect(found.find((p) => p.provider === 'cpu')).toMatchObject({ usable: true, reason: '', agreement: 0 });
  for (const p of found) expect(p.usable).toBe(p.reason === '');
});

test('app.info names the provider that was asked for, or the fastest usable one once that is known', async () => {
  expect(await app['app.info']({}, contextOf('cuda'))).toEqual({ ...info, provider: 'cuda' });
  const usable = (await app['app.providers']({}, contextOf('auto'))).filter((p) => p.usable);
  const fastest = usable.sort((a, b) => a.seconds! - b.seconds!)[0]!.provider;
  expect(await app['app.info']({}, contextOf('auto'))).toEqual({ ...info, provider: fastest });
});
