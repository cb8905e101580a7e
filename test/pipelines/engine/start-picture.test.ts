import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { GeneratePayload } from '#pipelines/engine/jobs/payloads.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { jobs as jobRows } from '#pipelines/store/jobs.ts';
import { generated, TINY, testEngine } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-start-picture-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PAYLOAD: GeneratePayload = {
  ...{ modelPath: join(folder, 'tiny'), adapterPath: null, prompts: ['a red tulip'], negativePrompt: '', count: 1 },
  ...{
    steps: 4,
    scheduler: 'ddim',
    eta: 1,
    guidanceScale: 3,
    seed: 5,
    keepTrajectories: false,
    shareInitialNoise: false,
  },
};

async function hashOf(payload: GeneratePayload): Promise<string> {
  const context = recordedContext(join(folder, 'project'), `job${payload.start?.strength ?? ''}`);
  await jobs.generate(payload, context);
  return (context.events.find((e) => e.topic === 'sampleFile')!.data as { hash: string }).hash;
}

test('a job starts from a picture of the project: the less strength, the nearer to it', async () => {
  writeTinyModel(PAYLOAD.modelPath);
  const file = (hash: string) => join(folder, 'project', 'samples', `${hash}.png`);
  const picture = file(await hashOf(PAYLOAD));
  const original = (await decodeImage(picture)).data;
  const distance = async (strength: number) => {
    const made = await hashOf({ ...PAYLOAD, seed: 9, start: { picture, mask: null, strength } });
    const { data } = await decodeImage(file(made));
    expect(readFileSync(file(made)).includes(`"denoising":${strength}`)).toBe(true);
    return data.reduce((sum, v, i) => sum + Math.abs(v - original[i]!), 0) / data.length;
  };
  const [none, half, all] = [await distance(0), await distance(0.25), await distance(1)];
  expect(none).toBe(0);
  expect(half).toBeGreaterThan(0);
  expect(all).toBeGreaterThan(half);
});

test('a call names the picture by its sample or its hash, and what is not there is refused', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['red'], 1);
  const [sample] = (await t.engine.call('samples.list', { jobId })).samples;
  const call = (more: object) =>
    t.engine.call('generate.start', { modelId: TINY, prompts: ['red'], count: 1, seed: 1, ...more });
  for (const initImage of [sample!.id, sample!.hash]) {
    const job = await call({ initImage, strength: 0.4 });
    expect(jobRows.get(t.project.db, job.id)!.payload).toMatchObject({
      start: { picture: join(t.directory, 'samples', `${sample!.hash}.png`), mask: null, strength: 0.4 },
    });
  }
  const masked = await call({ initImage: sample!.id, mask: sample!.hash, strength: 1, keepTrajectories: false });
  await t.reaches(masked.id, 'done');
  const [made] = (await t.engine.call('samples.list', { jobId: masked.id })).samples;
  expect(made!.start).toEqual({ picture: sample!.hash, mask: sample!.hash, strength: 1 });
  expect(sample!.start).toBeNull();
  const refused = { code: 'generate/no-picture' };
  await expect(call({ initImage: 'f'.repeat(64) })).rejects.toMatchObject(refused);
  await expect(call({ initImage: '../../secret' })).rejects.toMatchObject(refused);
  await expect(call({ clipSkip: 2 })).rejects.toMatchObject({ code: 'generate/clip-skip' });
  await expect(call({ mask: sample!.hash, keepTrajectories: false })).rejects.toMatchObject({ code: 'generate/mask' });
  await expect(call({ initImage: sample!.id, mask: sample!.id })).rejects.toMatchObject({ code: 'generate/mask' });
  await t.close();
});
