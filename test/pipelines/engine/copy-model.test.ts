import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hashModelFolder } from '#models/families/index.ts';
import { copyModelFolder } from '#pipelines/engine/copy-model.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { temporaryFolder, testEngine } from '#test/support/engine.ts';

const quiet = { signal: new AbortController().signal, progress: () => {} };

test('a copy makes the same pictures: it has the same hash; a second one gets another name', async () => {
  const root = temporaryFolder();
  const source = tinyFolder('sdxl').write(join(root, 'sdxl'));
  const seen: number[] = [];
  const copy = await copyModelFolder(source, join(root, 'models'), {
    ...quiet,
    progress: (done, total) => seen.push(done / total),
  });
  expect(hashModelFolder(copy)).toBe(hashModelFolder(source));
  expect(seen.at(-1)).toBe(1);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(await copyModelFolder(source, join(root, 'models'), quiet)).toBe(join(root, 'models', 'sdxl-2'));
});

test('a copy that is cancelled half way leaves nothing', async () => {
  const root = temporaryFolder();
  const source = tinyFolder('sdxl').write(join(root, 'sdxl'));
  const abort = new AbortController();
  const copy = copyModelFolder(source, join(root, 'models'), {
    signal: abort.signal,
    progress: (done, total) => done > total / 2 && abort.abort(),
  });
  await expect(copy).rejects.toMatchObject({ code: 'models/copy-cancelled' });
  expect(readdirSync(join(root, 'models'))).toEqual([]);
});

test('a model added as a copy lies in the project; taking it off the list deletes the copy only when asked', async () => {
  const { engine, project, seen } = testEngine();
  const source = tinyFolder('sd1').write(join(temporaryFolder(), 'sd1'));
  const model = await engine.call('models.add', { path: source, copy: true });
  expect(model).toMatchObject({ copied: true, path: join(project.directory, 'models', 'sd1') });
  expect(seen.filter((e) => e.name === 'modelCopy').at(-1)?.payload).toMatchObject({ path: source });
  await engine.call('models.remove', { id: model.id });
  expect(existsSync(model.path)).toBe(true);
  const again = await engine.call('models.add', { path: model.path });
  await engine.call('models.remove', { id: again.id, deleteCopy: true });
  expect(existsSync(model.path)).toBe(false);

  const referenced = await engine.call('models.add', { path: source });
  expect(referenced.copied).toBe(false);
  await engine.call('models.remove', { id: referenced.id, deleteCopy: true });
  expect(existsSync(source)).toBe(true);
});
