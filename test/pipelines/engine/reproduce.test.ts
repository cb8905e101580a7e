import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { reproduction } from '#pipelines/engine/contract.ts';
import { reproduce } from '#pipelines/engine/jobs/reproduce.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { type MadePictures, makePictures } from '#test/support/made-pictures.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-reproduce-job-'));
const project = join(folder, 'project');
let made: MadePictures;

beforeAll(async () => {
  made = await makePictures(folder);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (picturePath: string, modelPath: string, adapters: { hash: string; path: string }[] = []) =>
  reproduction.parse(await reproduce({ picturePath, modelPath, adapters }, recordedContext(project, 'job')));

test('the job stores what it made, and says that it is the same file', async () => {
  const adapters = [{ hash: hashAdapter(made.adapter), path: made.adapter }];
  const found = await run(made.adapted, made.model, adapters);
  const hash = createHash('sha256').update(readFileSync(made.adapted)).digest('hex');
  expect(found).toMatchObject({ identical: 'file', max: 0, originalHash: hash, hash, amplified: null });
  expect(readFileSync(join(project, 'samples', `${hash}.png`)).equals(readFileSync(made.adapted))).toBe(true);
});

test('of another model it stores the difference as a picture too', async () => {
  const found = await run(made.plain, made.other);
  expect(found).toMatchObject({ identical: 'no', notes: [expect.stringContaining('another one')] });
  for (const hash of [found.hash, found.amplified!.hash]) {
    expect(existsSync(join(project, 'samples', `${hash}.png`))).toBe(true);
  }
});

test('an adapter that is gone is named', async () => {
  const gone = [{ hash: hashAdapter(made.adapter), path: join(folder, 'gone.safetensors') }];
  await expect(run(made.adapted, made.model, gone)).rejects.toMatchObject({ code: 'reproduce/adapter-missing' });
});
