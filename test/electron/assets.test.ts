import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assetHandler } from '#electron/assets.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-assets-'));
const sha = 'ab'.repeat(32);
let handle: (request: Request) => Promise<Response>;

beforeAll(() => {
  for (const folder of ['window/assets', 'pictures', 'outside']) mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, 'window/index.html'), '<!doctype html>');
  writeFileSync(join(root, 'window/assets/a.js'), '1');
  writeFileSync(join(root, 'window/secret.env'), 'x');
  writeFileSync(join(root, 'outside/b.js'), 'outside');
  writeFileSync(join(root, `pictures/${sha}.png`), 'picture');
  symlinkSync(join(root, 'outside/b.js'), join(root, 'window/link.js'));
  symlinkSync(join(root, 'outside'), join(root, 'window/linked'));
  writeFileSync(join(root, `pictures/${sha}.webp`), 'thumbnail');
  handle = assetHandler({
    window: join(root, 'window'),
    pictures: () => join(root, 'pictures'),
    thumbnail: async (hash) => (hash === sha ? join(root, `pictures/${sha}.webp`) : null),
  });
});
afterAll(() => rmSync(root, { recursive: true }));

const get = (url: string, init?: RequestInit) => handle(new Request(url, init));
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

describe('the app scheme', () => {
  test.each([
    ['app://bundle/', 'text/html; charset=utf-8', '<!doctype html>'],
    ['app://bundle/index.html', 'text/html; charset=utf-8', '<!doctype html>'],
    ['app://bundle/assets/a.js?v=1', 'text/javascript; charset=utf-8', '1'],
  ])('%s is served with its type and the exact policy', async (url, type, body) => {
    const response = await get(url);
    expect([response.status, await response.text()]).toEqual([200, body]);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('content-security-policy')).toBe(POLICY);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(response.headers.get('cross-origin-embedder-policy')).toBe('require-corp');
  });

  test('pictures come by content address and may be kept for ever', async () => {
    const response = await get(`app://bundle/blob/${sha}`);
    expect([response.status, await response.text(), response.headers.get('content-type')]).toEqual([
      200,
      'picture',
      'image/png',
    ]);
    expect(response.headers.get('cache-control')).toContain('immutable');
    expect((await get(`app://bundle/blob/${'cd'.repeat(32)}`)).status).toBe(404);
  });

  test('thumbnails come by the content address of their picture and may be kept for ever', async () => {
    const response = await get(`app://bundle/thumb/${sha}`);
    expect([response.status, await response.text(), response.headers.get('content-type')]).toEqual([
      200,
      'thumbnail',
      'image/webp',
    ]);
    expect(response.headers.get('cache-control')).toContain('immutable');
    expect((await get(`app://bundle/thumb/${'cd'.repeat(32)}`)).status).toBe(404);
    expect((await get(`app://bundle/thumb/..%2f${sha}`)).status).toBe(403);
  });

  test.each([
    'app://bundle.evil/index.html',
    'app://evil/index.html',
    'app://bundle/%2e%2e/outside/b.js',
    'app://bundle/..%2foutside/b.js',
    'app://bundle/..%5coutside%5cb.js',
    'app://bundle/assets%5c..%5c..%5coutside%5cb.js',
    'app://bundle/%00index.html',
    'app://bundle/%',
    'app://bundle/secret.env',
    'app://bundle/assets',
    'app://bundle/link.js',
    'app://bundle/linked/b.js',
    `app://bundle/blob/..%2f${sha}`,
    `app://bundle/blob/${sha.toUpperCase()}`,
    'app://bundle//etc/hosts.js',
  ])('%s is refused', async (url) => {
    const response = await get(url);
    expect([403, 404]).toContain(response.status);
    expect(await response.text()).toBe('');
    // Also a refusal is a document that a frame could show.
    expect(response.headers.get('content-security-policy')).toBe(POLICY);
  });

  test('nothing can be sent', async () => {
    expect((await get('app://bundle/index.html', { method: 'POST', body: 'x' })).status).toBe(405);
  });
});
