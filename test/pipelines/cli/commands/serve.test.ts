import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildRenderer } from '#build/scripts/build-renderer.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-serve-'));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(async () => {
  if (!existsSync('build/out/renderer/index.html')) await buildRenderer();
});

test('prints an address of this machine that answers, and Ctrl-C closes the project with exit code 130', async () => {
  const args = [resolve('pipelines/cli/main.ts'), 'serve', '--project', join(folder, 'project'), '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: Record<string, unknown>[] = [];
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += data;
  });
  const ready = new Promise<string>((found, failed) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trim().split('\n')) lines.push(JSON.parse(line) as Record<string, unknown>);
      const { url } = lines[0] ?? {};
      if (typeof url === 'string') found(url);
    });
    child.on('exit', (code) => failed(new Error(`ended with ${code} before it was ready: ${errors}`)));
  });
  const closed = new Promise<number | null>((done) => child.on('close', done));
  const url = new URL(await ready);
  expect(url.hostname).toBe('127.0.0.1');
  expect((await fetch(url, { redirect: 'manual' })).status).toBeLessThan(400);
  child.kill('SIGINT');
  expect(await closed).toBe(130);
  expect(lines.at(-1)).toMatchObject({ type: 'result', project: join(folder, 'project') });
  expect(JSON.parse(errors)).toMatchObject({ code: 'interrupted', message: expect.stringContaining('paused') });
  // The lock is gone: the project can be opened again.
  expect(existsSync(join(folder, 'project', 'project.sqlite-wal'))).toBe(false);
});
