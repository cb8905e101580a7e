import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { createKeptModel } from '#pipelines/engine/jobs/kept-model.ts';
import { modelKey, wantModel } from '#pipelines/engine/jobs/wanted-model.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-kept-'));
const path = join(folder, 'tiny');
const adapter = join(folder, 'adapter.safetensors');
const plain = wantModel(path, null, 1);
const adapted = wantModel(path, adapter, 1);
const models = createKeptModel();

beforeAll(() => {
  writeTinyModel(path);
  const targets = findLoraTargets(openModelFolder(path).unet, 'linear');
  const config = { rank: 2, alpha: 2, targets: 'linear' as const };
  writeLoraFile(adapter, { targets, config, parameters: randomLora(targets, config, 3) });
  return () => rmSync(folder, { recursive: true, force: true });
});
afterEach(() => models.close());

test('is the same while the same is asked for, and its networks run', async () => {
  const first = await models.open(plain);
  expect(await models.open({ ...plain })).toBe(first);
  expect(models.key).toBe(modelKey(plain));
  await expect(first.encode(['a red tulip'], '')).resolves.toHaveLength(1);
});

test('is asked for twice at once and opened once', async () => {
  const [first, second] = await Promise.all([models.open(plain), models.open(plain)]);
  expect(second).toBe(first);
});

test('is closed for another one: with an adapter, another weight of it, or other threads', async () => {
  const half = { ...adapted, adapters: [{ path: adapter, weight: 0.5 }] };
  const seen = new Set<unknown>();
  for (const wanted of [plain, adapted, half, { ...plain, threads: 2 }, plain]) {
    const before = [...seen].at(-1) as { encode: typeof opened.encode } | undefined;
    const opened = await models.open(wanted);
    seen.add(opened);
    expect(models.key).toBe(modelKey(wanted));
    await expect(opened.encode(['a white lily'], '')).resolves.toHaveLength(1);
    if (before) await expect(before.encode(['a pink rose'], '')).rejects.toThrow();
  }
  expect(seen.size).toBe(5);
});

test.each([
  ['a weight of the model', plain, join(path, 'unet', 'model.onnx')],
  ['the adapter', adapted, adapter],
])('is opened again when %s has been written', async (_name, wanted, file) => {
  const first = await models.open(wanted);
  utimesSync(file, new Date(), new Date(Date.now() + 5000));
  const second = await models.open(wanted);
  expect(second).not.toBe(first);
  expect(await models.open(wanted)).toBe(second);
});

test('that cannot be opened is not kept, and the next one is opened', async () => {
  await models.open(plain);
  await expect(models.open(wantModel(join(folder, 'none'), null, 1))).rejects.toMatchObject({
    code: expect.stringMatching(/^model\//),
  });
  expect(models.key).toBeNull();
  await expect((await models.open(plain)).encode([''], '')).resolves.toHaveLength(1);
});
