import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, relative, sep } from 'node:path';
import { CONTENT_SECURITY_POLICY, isOurPage } from './security.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};

const HEADERS = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** Addressed by content: it can never change. */
const FOR_EVER = 'public, max-age=31536000, immutable';

const refuse = (status: 403 | 404 | 405): Response => new Response(null, { status, headers: HEADERS });

/**
 * Answers the `app:` scheme: the built window, and by content address pictures (`/blob/<sha256>`) and their thumbnails
 * (`/thumb/<sha256>`, whose file `thumbnail` finds or has made).
 * Refuses other hosts, other methods, encoded separators, unknown extensions and links that lead out of the folder.
 */
export function assetHandler(folders: {
  window: string;
  pictures: () => string;
  thumbnail: (hash: string) => Promise<string | null>;
}) {
  return async (request: Request): Promise<Response> => {
    if (!isOurPage(request.url)) return refuse(403);
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405);
    let path: string;
    try {
      path = decodeURIComponent(new URL(request.url).pathname);
    } catch {
      return refuse(403);
    }
    const blob = /^\/blob\/([0-9a-f]{64})$/.exec(path);
    if (blob !== null) {
      return send(folders.pictures(), `${blob[1]}.png`, FOR_EVER);
    }
    const thumb = /^\/thumb\/([0-9a-f]{64})$/.exec(path)?.[1];
    if (thumb !== undefined) {
      const file = await folders.thumbnail(thumb);
      return file === null ? refuse(404) : send(dirname(file), basename(file), FOR_EVER);
    }
    return send(folders.window, path === '/' ? 'index.html' : path.slice(1), 'no-cache');
  };
}

async function send(folder: string, name: string, caching: string): Promise<Response> {
  const type = TYPES[extname(name)];
  if (type === undefined || /[\\\0:]/.test(name) || name.split('/').includes('..')) return refuse(403);
  try {
    const root = await realpath(folder);
    const file = await realpath(join(root, name));
    const inside = relative(root, file);
    if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) return refuse(403);
    const body = await readFile(file);
    return new Response(body, { headers: { ...HEADERS, 'Content-Type': type, 'Cache-Control': caching } });
  } catch {
    return refuse(404);
  }
}
