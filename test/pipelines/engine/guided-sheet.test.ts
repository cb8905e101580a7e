import { join } from 'node:path';
import { expect, test } from 'vitest';
import { samplePath } from '#pipelines/engine/blobs.ts';
import { sheetDrawer } from '#pipelines/engine/jobs/guided-sheet.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { temporaryFolder } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';

const plain = (width: number, height: number, value: number) => ({
  ...{ width, height },
  rgb: new Uint8Array(width * height * 3).fill(value),
});

test('small pictures stand side by side in rows of a sheet, black where there is none', async () => {
  const { project } = recordedContext(join(temporaryFolder(), 'project'), 'sheet');
  const sheet = await sheetDrawer(project)([plain(4, 4, 50), null, plain(4, 4, 200)], 2);
  const { data, width, height } = await decodeImage(samplePath(project, sheet!.hash));
  expect([sheet!.side, width, height]).toEqual([4, 8, 8]);
  const at = (x: number, y: number) => data[(y * width + x) * 3];
  expect([at(0, 0), at(3, 3), at(4, 0), at(0, 4), at(4, 4)]).toEqual([50, 50, 0, 200, 0]);
});

test('large ones are made smaller by whole steps, and no pictures make no sheet', async () => {
  const { project } = recordedContext(join(temporaryFolder(), 'project'), 'sheet');
  const draw = sheetDrawer(project);
  const sheet = await draw([plain(128, 96, 9)], 1);
  const { width, height } = await decodeImage(samplePath(project, sheet!.hash));
  expect([sheet!.side, width, height]).toEqual([64, 64, 64]);
  expect(await draw([null, null], 2)).toBeNull();
});
