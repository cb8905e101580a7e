import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { hashModelFolder, rememberedModelHash } from '#models/families/index.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

function place() {
  const root = mkdtempSync(join(tmpdir(), 'northlight-hash-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const model = writeTinyModel(join(root, 'model'));
  const cacheFolder = join(root, 'remembered');
  const weights = join(model, 'unet', 'model.onnx');
  return { model, cacheFolder, weights, hash: () => rememberedModelHash(model, { cacheFolder, fromBytes: 0 }) };
}

/** Other bytes of the same length; the date as it was where `sameDate`. */
function change(file: string, sameDate: boolean): void {
  const { atime, mtime } = statSync(file);
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
  utimesSync(file, atime, sameDate ? mtime : new Date(mtime.getTime() + 1000));
}

test('it is the hash of the files', async () => {
  const { model, hash } = place();
  expect(await hash()).toBe(hashModelFolder(model));
  expect(await hash()).toBe(hashModelFolder(model));
});

test('weights are not read again while size and date stay; they are when one of them changes', async () => {
  const { model, weights, hash } = place();
  // A date that the file system keeps exactly.
  utimesSync(weights, 1000, 1000);
  const first = await hash();
  change(weights, true);
  expect(await hash()).toBe(first);
  change(weights, false);
  const third = await hash();
  expect(third).toBe(hashModelFolder(model));
  change(weights, false);
  expect(await hash()).toBe(hashModelFolder(model));
  expect(await hash()).not.toBe(third);
});

test('a broken entry is as good as none, and one model has one entry', async () => {
  const { model, cacheFolder, weights, hash } = place();
  await hash();
  change(weights, false);
  await hash();
  const [entry, ...others] = readdirSync(cacheFolder);
  expect(others).toEqual([]);
  for (const text of ['', '{"path":1}', 'null', '{"path":"x","stamp":"","hash":"zz"}']) {
    writeFileSync(join(cacheFolder, entry!), text);
    expect(await hash()).toBe(hashModelFolder(model));
  }
});

test('small models leave nothing behind', async () => {
  const { model, cacheFolder } = place();
  expect(await rememberedModelHash(model, { cacheFolder })).toBe(hashModelFolder(model));
  expect(() => readdirSync(cacheFolder)).toThrow(/ENOENT/);
});

test('an aborted reading says so and is not remembered', async () => {
  const { model, cacheFolder } = place();
  const aborted = rememberedModelHash(model, { cacheFolder, fromBytes: 0, signal: AbortSignal.abort() });
  await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  expect(() => readdirSync(cacheFolder)).toThrow(/ENOENT/);
});
