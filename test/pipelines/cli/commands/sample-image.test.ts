import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeFileAtomic } from '#models/files.ts';
import { decodeImage, encodePng } from '#pipelines/images/images.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-sample-image-'));
const model = join(folder, 'model');
const picture = join(folder, 'picture.png');
const mask = join(folder, 'mask.png');

beforeAll(async () => {
  writeTinyModel(model);
  writeFileAtomic(
    picture,
    await encodePng(
      Uint8Array.from({ length: 192 }, (_, i) => (i * 37) % 256),
      8,
      8,
    ),
  );
  // The left half may change.
  const painted = Uint8Array.from({ length: 192 }, (_, i) => (Math.floor(i / 3) % 8 < 4 ? 255 : 0));
  writeFileAtomic(mask, await encodePng(painted, 8, 8));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sample = (out: string, ...more: string[]) =>
  runCli('sample', '--model', model, '--steps', '4', '--threads', '1', '--out', join(folder, out), '--json', ...more);
const pixels = async (out: string) => [...(await decodeImage(join(folder, out, '0000.png'))).data];

test('--image at strength 0 gives the picture back, and at half strength makes half the steps', async () => {
  await sample('same', '--image', picture, '--strength', '0');
  expect(await pixels('same')).toEqual([...(await decodeImage(picture)).data]);
  const half = await sample('half', '--image', picture, '--strength', '0.5', '--guidance', '1');
  expect(half.result()).toMatchObject({ count: 1, denoiserCalls: 2 });
  expect(JSON.parse(readFileSync(join(folder, 'half', 'manifest.json'), 'utf8'))).toMatchObject({
    start: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/), mask: null, strength: 0.5 },
  });
});

test('--mask keeps what is black, pixel by pixel', async () => {
  await sample('masked', '--image', picture, '--mask', mask);
  const [made, original] = [await pixels('masked'), [...(await decodeImage(picture)).data]];
  const right = (values: number[]) => values.filter((_, i) => Math.floor(i / 3) % 8 >= 4);
  expect(right(made)).toEqual(right(original));
  expect(made).not.toEqual(original);
});

test('a mask or a strength without a picture, and tiles of no size, are refused', async () => {
  expect(await sample('none', '--mask', mask)).toMatchObject({ code: 2, err: expect.stringContaining('--image') });
  expect(await sample('none', '--strength', '0.5')).toMatchObject({ code: 2 });
  expect(await sample('none', '--tile', 'small')).toMatchObject({ code: 2 });
  const absent = await sample('none', '--image', join(folder, 'absent.png'));
  expect(absent).toMatchObject({ code: 2, err: expect.stringContaining('absent.png') });
});
