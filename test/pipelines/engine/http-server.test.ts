import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { startHttpServer } from '#pipelines/engine/http-server.ts';
import { encodePng } from '#pipelines/images/images.ts';
import { generated, temporaryFolder, testEngine } from '#test/support/engine.ts';

async function server() {
  const t = testEngine();
  const folder = temporaryFolder();
  const renderer = join(folder, 'renderer');
  mkdirSync(join(renderer, 'assets'), { recursive: true });
  writeFileSync(join(renderer, 'index.html'), '<!doctype html><title>Northlight</title>');
  writeFileSync(join(renderer, 'assets', 'main.js'), 'export {};');
  writeFileSync(join(renderer, 'assets', 'main.ts'), 'secret source');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  symlinkSync(join(folder, 'secret.txt'), join(renderer, 'link.txt'));
  const samples = join(t.directory, 'samples');
  const started = await startHttpServer({ engine: t.engine, renderer, samples });
  onTestFinished(() => started.close());
  return { ...started, t, folder };
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request whose path and headers are sent exactly as given: `fetch` would tidy them. */
function raw(port: number, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, headers, method }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function signIn(port: number, url: string): Promise<string> {
  const reply = await raw(port, url.slice(url.indexOf('/?')));
  expect(reply.status).toBe(303);
  return reply.headers['set-cookie']![0]!;
}

test('the token works once and is exchanged for a cookie scripts and other sites cannot use', async () => {
  const { port, url } = await server();
  expect((await raw(port, '/')).status).toBe(403);
  expect((await raw(port, '/?token=wrong')).status).toBe(403);
  const setCookie = await signIn(port, url);
  expect(setCookie).toMatch(/HttpOnly/);
  expect(setCookie).toMatch(/SameSite=Strict/);
  const cookie = setCookie.split(';')[0]!;
  const page = await raw(port, '/', { cookie });
  expect(page).toMatchObject({ status: 200, body: expect.stringContaining('Northlight') });
  const token = url.slice(url.indexOf('/?'));
  expect((await raw(port, token)).status).toBe(403);
  expect((await raw(port, '/', { cookie: `${cookie}x` })).status).toBe(403);
});

test('every answer carries the security headers, refusals too', async () => {
  const { port, url } = await server();
  const cookie = (await signIn(port, url)).split(';')[0]!;
  for (const reply of [await raw(port, '/', { cookie }), await raw(port, '/none', { cookie }), await raw(port, '/')]) {
    expect(reply.headers['content-security-policy']).toMatch(/default-src 'none'; script-src 'self'/);
    expect(reply.headers).toMatchObject({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
    });
  }
});

test('another Host is refused even with the cookie: a name that was pointed at this machine gains nothing', async () => {
  const { port, url } = await server();
  const cookie = (await signIn(port, url)).split(';')[0]!;
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', `127.0.0.1:${port + 1}`, `[::1]:${port}`]) {
    expect((await raw(port, '/', { cookie, host })).status).toBe(403);
  }
  expect((await raw(port, '/', { cookie, host: `localhost:${port}` })).status).toBe(200);
});

test('no path leads out of the folders: dots, codes, links, backslashes, other schemes, source files', async () => {
  const { port, url } = await server();
  const cookie = (await signIn(port, url)).split(';')[0]!;
  const paths = [
    '/../secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e/secret.txt',
    '/assets/../../secret.txt',
    '/assets/..%5c..%5csecret.txt',
    '/link.txt',
    '/%00',
    '/%E0%A4%A',
    '//etc/passwd',
    'http://127.0.0.1/secret.txt',
    '/assets/main.ts',
    '/assets',
    '/blob/../project.sqlite',
    '/blob/..%2f..%2fproject.sqlite',
    `/blob/${'0'.repeat(64)}`,
    `/blob/${'A'.repeat(64)}`,
  ];
  for (const path of paths) {
    const reply = await raw(port, path, { cookie });
    expect([400, 404], path).toContain(reply.status);
    expect(reply.body).not.toContain('secret');
  }
  expect((await raw(port, '/assets/main.js', { cookie })).headers['content-type']).toMatch(/^text\/javascript/);
  expect((await raw(port, '/', { cookie }, 'POST')).status).toBe(405);
});

test('a picture is served by its hash, cached for ever, and only to the window', async () => {
  const { port, url, t } = await server();
  await generated(t, ['red'], 1);
  const { samples } = await t.engine.call('samples.list', {});
  const path = `/blob/${samples[0]!.hash}`;
  expect((await raw(port, path)).status).toBe(403);
  const cookie = (await signIn(port, url)).split(';')[0]!;
  const reply = await raw(port, path, { cookie });
  expect(reply.body).toContain('"red"');
  expect(reply.headers).toMatchObject({
    'content-type': 'image/png',
    'cache-control': expect.stringContaining('immutable'),
    'content-length': String(reply.body.length),
  });
  expect((await raw(port, path, { cookie }, 'HEAD')).body).toBe('');
});

test('a thumbnail is served by the hash of its picture, cached for ever, and only to the window', async () => {
  const { port, url, t } = await server();
  const hash = 'ab'.repeat(32);
  const png = await encodePng(new Uint8Array(300 * 300 * 3), 300, 300);
  writeFileSync(join(t.directory, 'samples', `${hash}.png`), png);
  expect((await raw(port, `/thumb/${hash}`)).status).toBe(403);
  const cookie = (await signIn(port, url)).split(';')[0]!;
  const reply = await raw(port, `/thumb/${hash}`, { cookie });
  expect(reply.headers).toMatchObject({
    'content-type': 'image/webp',
    'cache-control': expect.stringContaining('immutable'),
  });
  expect(reply.body.slice(0, 4)).toBe('RIFF');
  const missing = await raw(port, `/thumb/${'cd'.repeat(32)}`, { cookie });
  expect([missing.status, missing.headers['cache-control']]).toEqual([404, 'no-store']);
});

test('a WebSocket needs the cookie, the path and an Origin that is this server', async () => {
  const { port, url } = await server();
  const cookie = (await signIn(port, url)).split(';')[0]!;
  const own = `http://127.0.0.1:${port}`;
  const opens = (path: string, origin: string | undefined, headers: Record<string, string>) =>
    new Promise<boolean>((resolve) => {
      const options = origin === undefined ? { headers } : { headers, origin };
      const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, options);
      socket.on('open', () => {
        socket.terminate();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  expect(await opens('/ws', own, { cookie })).toBe(true);
  expect(await opens('/ws', own, {})).toBe(false);
  expect(await opens('/ws', undefined, { cookie })).toBe(false);
  expect(await opens('/ws', 'http://evil.example', { cookie })).toBe(false);
  expect(await opens('/ws', 'null', { cookie })).toBe(false);
  expect(await opens('/ws', `http://127.0.0.1:${port + 1}`, { cookie })).toBe(false);
  expect(await opens('/other', own, { cookie })).toBe(false);
  expect(await opens('/ws', 'http://evil.example', { cookie, host: 'evil.example' })).toBe(false);
});

test('it listens on 127.0.0.1 and on no other address', async () => {
  const { port } = await server();
  const others = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address, family, scopeid }) => (family === 'IPv6' && scopeid ? `${address}%${scopeid}` : address))
    .filter((address) => address !== '127.0.0.1');
  // Every address of 127/8 reaches a listener on all addresses.
  for (const host of ['127.0.0.2', ...others]) {
    const reached = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port, timeout: 500 });
      socket.on('connect', () => resolve(true));
      for (const event of ['error', 'timeout']) socket.on(event, () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    expect(reached, host).toBe(false);
  }
});

test('a taken port is named', async () => {
  const { port, t } = await server();
  const again = startHttpServer({ engine: t.engine, renderer: '.', samples: '.', port });
  await expect(again).rejects.toMatchObject({ code: 'serve/port-in-use', message: expect.stringContaining(`${port}`) });
});
