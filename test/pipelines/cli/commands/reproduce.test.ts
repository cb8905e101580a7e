import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeImage } from '#pipelines/images/images.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { type MadePictures, makePicture, makePictures } from '#test/support/made-pictures.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-reproduce-'));
const picture = join(folder, 'picture.png');
let made: MadePictures;

beforeAll(async () => {
  await makePicture(picture, 'models/bundled/flora');
  made = await makePictures(folder);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('finds the bundled model by what the picture says', async () => {
  const run = await runCli('reproduce', picture, '--json', '--threads', '1');
  expect(run.code).toBe(0);
  expect(run.result()).toMatchObject({ type: 'result', identical: 'file', max: 0, differing: 0, notes: [] });
});

test('ends with 1 and pictures to look at when they differ', async () => {
  const out = join(folder, 'out');
  const run = await runCli('reproduce', made.plain, '--model', made.other, '--out', out, '--threads', '1');
  expect(run.code).toBe(1);
  expect(run.out).toMatch(/Different: \d+ of 64 pixels/);
  for (const name of ['reproduction.png', 'difference.png']) {
    expect(await decodeImage(join(out, name))).toMatchObject({ width: 8, height: 8 });
  }
});

test('takes adapters by --lora, and names what is missing', async () => {
  const { adapted, model, adapter } = made;
  const run = await runCli('reproduce', adapted, '--model', model, '--lora', adapter, '--json', '--threads', '1');
  expect(run.result()).toMatchObject({ identical: 'file' });
  const without = await runCli('reproduce', adapted, '--model', model);
  expect(without).toMatchObject({ code: 2, err: expect.stringContaining('style') });
  const nowhere = await runCli('reproduce', made.plain);
  expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining('--model') });
});
