import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Adapter, Model } from '#pipelines/engine/contract.ts';
import { startHttpServer } from '#pipelines/engine/http-server.ts';
import { recallSettings } from '#pipelines/engine/recall.ts';
import { decodeImage, encodePng } from '#pipelines/images/images.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { type PictureOrigin, settingsText } from '#pipelines/sampling/settings-text.ts';
import { parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { generated, TINY, temporaryFolder, testEngine } from '#test/support/engine.ts';

const A1111 =
  'a cat <lora:ink:1>\nin the snow\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 5, Size: 512x512, Model: tiny.safetensors, Clip skip: 2';

const withText = (text: Record<string, string>) => encodePng(Uint8Array.of(1, 2, 3), 1, 1, text);
const foreign = await withText({ parameters: A1111 });

const origin: PictureOrigin = {
  model: { name: 'tiny', hash: 'f'.repeat(64) },
  adapters: [{ name: 'x', hash: 'ab'.repeat(32), weight: 1 }],
  ...{ prompt: 'a red tulip', negativePrompt: '', seed: 7, index: 2, noiseIndex: 0, startHash: '0'.repeat(64) },
  ...{ scheduler: 'ddim', schedulerConfig: parseSchedulerConfig({}), steps: 12, eta: 0.5, guidanceScale: 2 },
  ...{ keepTrajectories: true, width: 8, height: 8, clipSkip: 1, denoising: null, provider: 'cpu' },
};

const model: Model = {
  ...{ id: 'm1', name: 'Tiny', family: 'f', bundled: false, copied: false, path: '/models/tiny', hash: 'f'.repeat(64) },
  ...{
    parameters: 1,
    sizeBytes: 1,
    width: 8,
    height: 8,
    predictionType: 'epsilon',
    sampling: null,
    sequence: null,
    usable: true,
  },
  ...{ problems: [], description: '', examplePrompts: [], dryStep: null },
};
const adapter: Adapter = {
  ...{ id: 'a1', name: 'Ink', modelId: 'm1', runId: null, hash: 'ab'.repeat(32), path: '', rank: 4 },
  ...{ createdAt: '', verifiedDifference: null },
};

const hasPicture = () => false;

test('a picture of ours fills the form with all that made it', async () => {
  const found = await readPictureSettings(await withText(settingsText(origin)));
  expect(recallSettings(found!, { models: [model], adapters: [adapter], modelId: null, hasPicture })).toMatchObject({
    source: 'northlight',
    modelId: 'm1',
    adapterId: 'a1',
    form: {
      ...{ prompts: 'a red tulip', negativePrompt: '', steps: 12, scheduler: 'ddim', eta: 0.5, guidanceScale: 2 },
      ...{ seed: 7, count: 3, shareInitialNoise: true, keepTrajectories: true },
    },
    notes: ['It was picture 3 of its batch, and will be again.'],
  });
});

test('a foreign picture fills what it can, and says what it cannot', async () => {
  const found = (await readPictureSettings(foreign))!;
  const recalled = recallSettings(found, { models: [model], adapters: [adapter], modelId: null, hasPicture });
  expect(recalled).toMatchObject({
    modelId: 'm1',
    adapterId: 'a1',
    form: {
      prompts: 'a cat in the snow',
      negativePrompt: 'dog',
      scheduler: 'dpm-solver-multistep',
      steps: 20,
      seed: 5,
    },
  });
  const notes = recalled.notes.join('\n');
  for (const word of ['Line breaks', 'tuning needs', 'Karras', '512 × 512', 'Clip skip 2', 'other noise'])
    expect(notes).toContain(word);
});

test('what a picture started from is taken over where picture and mask are in the project, and named where not', async () => {
  const [picture, mask] = ['a'.repeat(64), 'b'.repeat(64)];
  const text = settingsText({ ...origin, denoising: 0.4, start: { picture, mask } });
  const found = (await readPictureSettings(await withText(text)))!;
  const at = { models: [model], adapters: [adapter], modelId: null };
  const here = recallSettings(found, { ...at, hasPicture: () => true });
  expect(here.start).toEqual({ picture, mask, strength: 0.4 });
  expect(here.notes.join()).not.toContain('another picture');
  const gone = recallSettings(found, { ...at, hasPicture: (hash) => hash === picture });
  expect(gone.start).toBeNull();
  expect(gone.notes.join()).toMatch(/another picture \(strength 0.4\), which is not in this project/);
});

test('a clip skip is taken over where the model has such a layer, and the 2 that others write for SDXL means 1', async () => {
  const found = (await readPictureSettings(foreign))!;
  const sampling: NonNullable<Model['sampling']> = {
    ...{ defaults: { steps: 30, guidanceScale: 7, scheduler: 'ddim', eta: 1 }, samplers: ['ddim'], freeSize: true },
    ...{ guidance: 'classifier-free', sizeMultiple: 8, startsFromPictures: true, clipSkips: 12 },
  };
  const recall = (family: string, clipSkips: number, clipSkip: number | null = 2) =>
    recallSettings(
      { ...found, clipSkip },
      { models: [{ ...model, family, sampling: { ...sampling, clipSkips } }], adapters: [], modelId: 'm1', hasPicture },
    );
  expect(recall('sd1', 12).form.clipSkip).toBe(2);
  expect(recall('sd1', 12, null).form.clipSkip).toBe(1);
  expect(recall('sd1', 12).notes.join()).not.toContain('Clip skip');
  expect(recall('sd1', 1).notes.join()).toContain('Clip skip 2 is not taken over');
  expect(recall('sdxl', 11).form.clipSkip).toBe(1);
  expect(recall('sdxl', 11).notes.join()).not.toContain('Clip skip');
  expect(recall('sdxl', 11, 3).notes.join()).toContain('Clip skip 3 is not taken over');
});

test('a picture that is kept is one of the project: its own file where it is ours, its pixels without what else it says', async () => {
  const t = testEngine();
  const file = (hash: string) => join(t.directory, 'samples', `${hash}.png`);
  const { hash } = await t.engine.call('pictures.keep', { bytes: new Uint8Array(foreign) });
  expect(await decodeImage(file(hash))).toEqual(await decodeImage(new Uint8Array(foreign)));
  expect(await readPictureSettings(readFileSync(file(hash)))).toBeNull();
  expect(
    createHash('sha256')
      .update(readFileSync(file(hash)))
      .digest('hex'),
  ).toBe(hash);
  const own = readFileSync(file(hash));
  expect(await t.engine.call('pictures.keep', { bytes: new Uint8Array(own) })).toEqual({ hash });
  expect(readdirSync(join(t.directory, 'samples'))).toHaveLength(1);
  await expect(t.engine.call('pictures.keep', { bytes: new Uint8Array(9) })).rejects.toMatchObject({
    code: 'picture/unreadable',
  });
});

test('what is not here is named: model, adapter, sampler, seed', async () => {
  const found = {
    ...(await readPictureSettings(foreign))!,
    ...{ modelName: 'dreamy', seed: 2 ** 40, sampler: null, samplerName: 'DPM++ SDE' },
  };
  const recalled = recallSettings(found, { models: [model], adapters: [], modelId: 'm1', hasPicture });
  expect(recalled).toMatchObject({ modelId: null, adapterId: null });
  expect(recalled.form).not.toHaveProperty('seed');
  expect(recalled.form).not.toHaveProperty('scheduler');
  const notes = recalled.notes.join('\n');
  for (const word of ['“dreamy”', '“ink”', '“DPM++ SDE”', '1099511627776']) expect(notes).toContain(word);
});

test('an Euler of other programs is flow matching where the model is', async () => {
  const found = { ...(await readPictureSettings(foreign))!, sampler: 'euler' as const };
  const flow = { ...model, predictionType: 'flow_velocity' };
  expect(recallSettings(found, { models: [flow], adapters: [], modelId: null, hasPicture }).form.scheduler).toBe(
    'flow-match-euler',
  );
});

test('`pictures.settings` reads bytes that came over a line, and refuses what is no picture', async () => {
  const { engine } = testEngine();
  expect(await engine.call('pictures.settings', { bytes: foreign, modelId: TINY })).toMatchObject({ modelId: TINY });
  expect(await engine.call('pictures.settings', { bytes: await withText({}) })).toBeNull();
  await expect(engine.call('pictures.settings', { bytes: Buffer.from('x') })).rejects.toMatchObject({
    code: 'picture/unknown-format',
  });
});

test('a browser posts a picture: only its own page, with the cookie, up to the limit', async () => {
  const t = testEngine();
  const renderer = temporaryFolder();
  writeFileSync(join(renderer, 'index.html'), '<!doctype html>');
  const server = await startHttpServer({ engine: t.engine, renderer, samples: join(t.directory, 'samples') });
  onTestFinished(() => server.close());
  const signIn = await fetch(server.url, { redirect: 'manual' });
  const cookie = signIn.headers.get('set-cookie')!.split(';')[0]!;
  const home = `http://127.0.0.1:${server.port}`;
  const post = (body: Uint8Array<ArrayBuffer>, headers: Record<string, string>, path = '/picture') =>
    fetch(`${home}${path}`, { method: 'POST', body, headers });
  const bytes = new Uint8Array(foreign);
  const own = { cookie, origin: home };
  const answer = await post(bytes, own, `/picture?modelId=${TINY}`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ r: { source: 'a1111', modelId: TINY } });
  const kept = await post(bytes, own, '/picture/keep');
  expect(await kept.json()).toEqual({ r: { hash: expect.stringMatching(/^[0-9a-f]{64}$/) } });
  expect((await post(bytes, { cookie })).status).toBe(403);
  expect((await post(bytes, { cookie }, '/picture/keep')).status).toBe(403);
  expect((await post(bytes, { cookie, origin: 'http://evil.example' })).status).toBe(403);
  expect((await post(bytes, { origin: home })).status).toBe(403);
  expect((await post(bytes, own, '/')).status).toBe(405);
  const bad = await post(new Uint8Array(9), own);
  expect([bad.status, await bad.json()]).toMatchObject([422, { e: { code: 'picture/unknown-format' } }]);
  const large = await new Promise((resolve, reject) => {
    const headers = { ...own, 'content-length': String(65 << 20) };
    request(`${home}/picture`, { method: 'POST', headers }, (response) => resolve(response.statusCode))
      .on('error', reject)
      .flushHeaders();
  });
  expect(large).toBe(413);
});

test('`pictures.reproduce` is a job whose result is kept', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['a red tulip'], 1);
  const [sample] = (await t.engine.call('samples.list', { jobId })).samples;
  const file = Buffer.from(await withText({ note: 'any' }));
  mkdirSync(join(t.directory, 'samples'), { recursive: true });
  writeFileSync(join(t.directory, 'samples', `${sample!.hash}.png`), file);
  const job = await t.engine.call('pictures.reproduce', { sampleId: sample!.id });
  await t.reaches(job.id, 'done');
  expect(await t.engine.call('pictures.reproduction', { id: job.id })).toMatchObject({
    identical: 'file',
    originalHash: createHash('sha256').update(file).digest('hex'),
  });
  await expect(t.engine.call('pictures.reproduction', { id: jobId })).rejects.toMatchObject({ code: 'job/unknown' });
  await expect(t.engine.call('pictures.reproduce', { sampleId: 'none' })).rejects.toMatchObject({
    code: 'sample/unknown',
  });
});
