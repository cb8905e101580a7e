import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** In a process of its own: what is switched off stays off. */
const attempt = (body: string): string =>
  execFileSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { goOffline } from '#electron/offline.ts';
       const server = (await import('node:net')).createServer().listen(0, '127.0.0.1');
       await new Promise((r) => server.on('listening', r));
       const { port } = server.address();
       goOffline();
       try { ${body}; console.log('went through'); } catch (error) { console.log(error.code ?? error.name); }
       process.exit(0);`,
    ],
    { encoding: 'utf8' },
  ).trim();

test.each([
  ['a socket by port and host', "(await import('node:net')).connect(port, '127.0.0.1')"],
  ['a socket by options', "(await import('node:net')).connect({ port, host: '127.0.0.1' })"],
  ['a port given as text', "(await import('node:net')).connect(String(port))"],
  ['TLS', "(await import('node:tls')).connect({ port, host: '127.0.0.1' })"],
  ['http', "(await import('node:http')).get(`http://127.0.0.1:${port}`)"],
  ['fetch', 'await fetch(`http://127.0.0.1:${port}`)'],
  ['WebSocket', 'new WebSocket(`ws://127.0.0.1:${port}`)'],
  ['a name look-up', "(await import('node:dns')).default.lookup('localhost', () => {})"],
  ['a name look-up by promise', "await (await import('node:dns')).default.promises.lookup('localhost')"],
  ['a datagram', "(await import('node:dgram')).createSocket('udp4').send('x', port, '127.0.0.1')"],
])('%s is stopped', (_what, body) => {
  expect(attempt(body)).toBe('internal/offline');
});

test('a local program still works', () => {
  expect(attempt("(await import('node:child_process')).execFileSync(process.execPath, ['-e', '1'])")).toBe(
    'went through',
  );
});
