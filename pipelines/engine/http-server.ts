import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createReadStream, realpathSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname, extname, join, relative, sep } from 'node:path';
import { WebSocketServer } from 'ws';
import { NorthlightError } from '#models/errors.ts';
import { createThumbnails } from '#pipelines/images/thumbnail.ts';
import type { Engine } from './engine.ts';
import { answerPicture } from './post-picture.ts';
import { socketWire } from './socket-wire.ts';
import { serveWire } from './wire.ts';

export interface ServerOptions {
  readonly engine: Engine;
  /** Folder of the built window (`index.html` and its files). */
  readonly renderer: string;
  /** Folder of `<sha256>.png` files; their thumbnails are kept in `thumbnails` beside it. */
  readonly samples: string;
  /** 0 chooses a free one. */
  readonly port?: number;
}

export interface HttpServer {
  readonly port: number;
  /** With the token in it, which works once: the browser then has a cookie. */
  readonly url: string;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
const MAX_MESSAGE_BYTES = 4 << 20;

/** Only these leave the renderer's folder. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

/** Nothing from elsewhere, no inline code, no frames; and a cross-origin isolated page. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; " +
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/**
 * Serves window and engine to a browser of this machine: loopback only, and only to the browser that opened the URL with the
 * token. Other sites cannot reach it: their requests carry another Host (DNS rebinding) or Origin, and never the
 * `SameSite=Strict` cookie.
 * @throws NorthlightError `serve/port-in-use`
 */
export async function startHttpServer(options: ServerOptions): Promise<HttpServer> {
  const secret = randomBytes(32).toString('base64url');
  let token: string | null = randomBytes(32).toString('base64url');
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  const thumbnails = createThumbnails(options.samples, join(dirname(options.samples), 'thumbnails'));
  let port = 0;
  // Cookies do not keep ports apart, names do.
  const cookieName = () => `northlight-${port}`;
  const isOurHost = (request: IncomingMessage) =>
    [`${HOST}:${port}`, `localhost:${port}`].includes(request.headers.host ?? '');
  const isOurPage = (request: IncomingMessage) => request.headers.origin === `http://${request.headers.host}`;
  const hasCookie = (request: IncomingMessage) => same(cookieOf(request, cookieName()), secret);

  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    if (!isOurHost(request)) {
      refuse(response, 403, 'Open Northlight by the address it printed.');
      return;
    }
    const target = parseTarget(request.url);
    const isPicture = request.method === 'POST' && /^\/picture(\/keep)?$/.test(target?.pathname ?? '');
    if (request.method !== 'GET' && request.method !== 'HEAD' && !isPicture) {
      refuse(response, 405, 'Only GET is answered.');
      return;
    }
    if (target === null) {
      refuse(response, 400, 'This address cannot be read.');
      return;
    }
    const given = target.searchParams.get('token');
    if (request.method === 'GET' && target.pathname === '/' && given !== null && same(given, token)) {
      token = null;
      response.setHeader('Set-Cookie', `${cookieName()}=${secret}; HttpOnly; SameSite=Strict; Path=/`);
      response.writeHead(303, { Location: '/', 'Cache-Control': 'no-store' }).end();
      return;
    }
    if (!hasCookie(request)) {
      refuse(response, 403, 'Open Northlight by the address it printed. An address with a token works once.');
      return;
    }
    if (isPicture) {
      if (isOurPage(request)) void answerPicture(request, response, options.engine, target);
      else refuse(response, 403, 'Pictures are taken from the window itself.');
      return;
    }
    const blob = /^\/blob\/([0-9a-f]{64})$/.exec(target.pathname)?.[1];
    if (blob !== undefined) {
      sendBlob(request, response, join(options.samples, `${blob}.png`), 'image/png');
      return;
    }
    const thumb = /^\/thumb\/([0-9a-f]{64})$/.exec(target.pathname)?.[1];
    if (thumb !== undefined) {
      void thumbnails
        .get(thumb, () => !response.destroyed)
        .then((path) => sendBlob(request, response, path, 'image/webp'));
      return;
    }
    sendStatic(request, response, options.renderer, target.pathname);
  });

  server.on('upgrade', (request, socket, head) => {
    const allowed = isOurHost(request) && request.url === '/ws' && isOurPage(request) && hasCookie(request);
    if (!allowed) {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => serveWire(socketWire(client), options.engine));
  });

  port = await listen(server, options.port ?? 0);
  return {
    port,
    url: `http://${HOST}:${port}/?token=${token}`,
    close: () =>
      new Promise((resolve) => {
        for (const client of sockets.clients) client.terminate();
        sockets.close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE' || error.code === 'EACCES'
          ? new NorthlightError(
              'serve/port-in-use',
              `Port ${port} cannot be used: ${error.message}.`,
              'Choose another with --port, or leave it out.',
            )
          : error,
      );
    });
    server.listen(port, HOST, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function sendBlob(request: IncomingMessage, response: ServerResponse, path: string | null, type: string): void {
  const size = path === null ? null : sizeOfFile(path);
  if (path === null || size === null) {
    refuse(response, 404, 'There is no such picture.');
    return;
  }
  stream(request, response, path, {
    'Content-Type': type,
    'Content-Length': size,
    // Addressed by content: it can never change.
    'Cache-Control': 'private, max-age=31536000, immutable',
  });
}

function sendStatic(request: IncomingMessage, response: ServerResponse, root: string, pathname: string): void {
  const path = insideOf(root, pathname === '/' ? '/index.html' : pathname);
  const type = path === null ? undefined : TYPES[extname(path)];
  const size = path === null || type === undefined ? null : sizeOfFile(path);
  if (path === null || type === undefined || size === null) {
    refuse(response, 404, 'There is no such file.');
    return;
  }
  stream(request, response, path, { 'Content-Type': type, 'Content-Length': size, 'Cache-Control': 'no-cache' });
}

/** The real path of `pathname` under `root`; null if it is not there or leads outside, also through a link. */
function insideOf(root: string, pathname: string): string | null {
  try {
    const decoded = decodeURIComponent(pathname);
    if (/[\0\\]/.test(decoded)) return null;
    const realRoot = realpathSync(root);
    const real = realpathSync(join(realRoot, decoded));
    const inside = relative(realRoot, real);
    return inside === '' || inside === '..' || inside.startsWith(`..${sep}`) ? null : real;
  } catch {
    return null;
  }
}

function stream(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  headers: Record<string, string | number>,
): void {
  response.writeHead(200, headers);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  // The status has been sent: all that can be done about a read error is to cut the answer short.
  createReadStream(path)
    .on('error', () => response.destroy())
    .pipe(response);
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store' });
  response.end(`${text}\n`);
}

function sizeOfFile(path: string): number | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? found.size : null;
}

function parseTarget(url: string | undefined): URL | null {
  // Only a path: `GET http://elsewhere/` and `GET //elsewhere/` name another host.
  if (!url?.startsWith('/') || url.startsWith('//')) return null;
  try {
    return new URL(url, `http://${HOST}`);
  } catch {
    return null;
  }
}

function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name) return value;
  }
  return undefined;
}

/** Compares in a time that does not depend on where they differ. */
function same(given: string | undefined, expected: string | null): boolean {
  if (given === undefined || expected === null) return false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
