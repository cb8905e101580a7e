import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { decodeImage, encodePng } from '#pipelines/images/images.ts';
import { createThumbnails } from '#pipelines/images/thumbnail.ts';

const HASH = 'ab'.repeat(32);

function folders() {
  const root = mkdtempSync(join(tmpdir(), 'northlight-thumb-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return { root, thumbnails: createThumbnails(root, join(root, 'thumbnails')) };
}

const noise = (width: number, height: number) =>
  Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 2654435761) >>> 24);

test('a thumbnail is a WebP of at most 256 pixels, made once and then read', async () => {
  const { root, thumbnails } = folders();
  writeFileSync(join(root, `${HASH}.png`), await encodePng(noise(600, 300), 600, 300));
  const [path, again] = await Promise.all([thumbnails.get(HASH), thumbnails.get(HASH)]);
  expect(again).toBe(path);
  expect(readFileSync(path!).toString('latin1', 8, 12)).toBe('WEBP');
  expect(await decodeImage(path!)).toMatchObject({ width: 256, height: 128 });
  const { mtimeMs } = statSync(path!);
  rmSync(join(root, `${HASH}.png`));
  expect(await thumbnails.get(HASH)).toBe(path);
  expect(statSync(path!).mtimeMs).toBe(mtimeMs);
});

test('a small picture keeps its size and every pixel', async () => {
  const { root, thumbnails } = folders();
  const rgb = noise(64, 48);
  writeFileSync(join(root, `${HASH}.png`), await encodePng(rgb, 64, 48));
  const { data, width, height } = await decodeImage((await thumbnails.get(HASH))!);
  expect([width, height]).toEqual([64, 48]);
  expect(data).toEqual(rgb);
});

test('a missing or damaged picture has none, and leaves nothing behind', async () => {
  const { root, thumbnails } = folders();
  expect(await thumbnails.get(HASH)).toBeNull();
  expect(existsSync(join(root, 'thumbnails'))).toBe(false);
});

test('of many that were asked for, those nobody waits for any more are not made', async () => {
  const { root, thumbnails } = folders();
  const png = await encodePng(noise(400, 400), 400, 400);
  const hashes = Array.from({ length: 20 }, (_, i) => i.toString(16).padStart(64, '0'));
  for (const hash of hashes) writeFileSync(join(root, `${hash}.png`), png);
  let gone = false;
  const asked = hashes.map((hash, i) => thumbnails.get(hash, () => i >= 18 || !gone));
  gone = true;
  const made = await Promise.all(asked);
  expect(made.filter((path) => path !== null).length).toBeLessThan(6);
  expect(made.slice(18).every((path) => path !== null)).toBe(true);
  expect(readdirSync(join(root, 'thumbnails')).every((name) => name.endsWith('.webp'))).toBe(true);
  // Asked for again, it is made.
  expect(await thumbnails.get(hashes[5]!)).not.toBeNull();
});
