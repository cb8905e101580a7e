import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  examineModel,
  hashModelFolder,
  hashModelFolderInBackground,
  stampModelFolder,
} from '#models/families/index.ts';
import type { Model } from '#pipelines/engine/contract.ts';
import { doctorReport } from '#pipelines/engine/doctor-schema.ts';
import { createModelCatalog, type ModelLook } from '#pipelines/engine/model-catalog.ts';
import { openProject } from '#pipelines/store/project.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { temporaryFolder } from '#test/support/engine.ts';

function catalogOn(look: Partial<ModelLook> = {}) {
  const root = temporaryFolder();
  const project = openProject(join(root, 'project'));
  onTestFinished(() => project.close());
  const looked: string[] = [];
  const changed: Model[] = [];
  const full: ModelLook = {
    examine: (path) => {
      looked.push(path);
      return examineModel(path);
    },
    stamp: stampModelFolder,
    hash: hashModelFolderInBackground,
    ...look,
  };
  const open = () =>
    createModelCatalog(project.db, join(root, 'bundled'), join(root, 'own'), full, (model) => changed.push(model));
  return { root, open, looked, changed };
}

test('a model is looked into once; a second start shows the kept report, a changed file is looked at again', async () => {
  const { root, open, looked } = catalogOn();
  const path = tinyFolder('sd1').write(join(root, 'sd1'));
  const added = await open().add(path);
  expect(added).toMatchObject({ usable: true, family: 'sd1' });
  await open().list();
  await open().list();
  expect(looked).toHaveLength(1);
  appendFileSync(join(path, 'scheduler', 'scheduler_config.json'), ' ');
  await open().list();
  expect(looked).toHaveLength(2);
});

test('a list does not wait for the hash, which comes later as an event and is kept', async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  let hashed = 0;
  const { root, open, changed } = catalogOn({
    hash: async (path, signal) => {
      hashed++;
      await gate;
      return hashModelFolderInBackground(path, signal);
    },
  });
  const path = tinyFolder('sd1').write(join(root, 'sd1'));
  const catalog = open();
  const model = await catalog.add(path);
  expect(model.hash).toBe('');
  expect((await catalog.list())[0]!.hash).toBe('');
  const waited = catalog.hash(model.id);
  release();
  const expected = hashModelFolder(path);
  expect(await waited).toBe(expected);
  expect(hashed).toBe(1);
  expect((await open().list())[0]!.hash).toBe(expected);
  await Promise.resolve();
  expect(changed.at(-1)).toMatchObject({ id: model.id, hash: expected });
});

test('a folder that cannot run is listed with its faults and looked at each time, until it is mended', async () => {
  const { root, open, looked } = catalogOn();
  const path = join(root, 'broken');
  mkdirSync(path);
  writeFileSync(join(path, 'model_index.json'), '{');
  const catalog = open();
  const { id } = await catalog.add(path);
  expect((await catalog.list())[0]).toMatchObject({ usable: false, hash: '' });
  expect(looked).toHaveLength(2);
  const report = await catalog.report(id);
  expect(report.findings[0]).toMatchObject({ weight: 'stops', code: 'model/bad-json' });
  await expect(catalog.usable(id)).rejects.toMatchObject({ code: 'models/unusable' });
  tinyFolder('sd1').write(path);
  expect((await catalog.list())[0]).toMatchObject({ usable: true });
});

test('a file in place of a folder is refused by what it is', async () => {
  const { root, open } = catalogOn();
  const path = join(root, 'sd15.safetensors');
  writeFileSync(path, 'x');
  await expect(open().add(path)).rejects.toMatchObject({
    code: 'models/not-a-folder',
    message: expect.stringContaining('PyTorch checkpoint'),
    hint: expect.stringContaining('optimum-cli'),
  });
});

test('what the doctor says passes the contract unchanged', () => {
  const report = examineModel('models/bundled/flora');
  expect(doctorReport.parse(report)).toEqual(report);
});
