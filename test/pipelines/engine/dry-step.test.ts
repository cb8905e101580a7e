import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import { modelReports } from '#pipelines/store/model-reports.ts';
import { openProject } from '#pipelines/store/project.ts';
import { TINY, temporaryFolder, testEngine } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-dry-step-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a model that is added is tried by one step, and what that showed is kept with its report and told', async () => {
  const t = testEngine();
  const path = temporaryFolder();
  const told = t.event('model', (model) => model.dryStep !== null);
  const added = await t.engine.call('models.add', { path, dryStep: true });
  expect(added.dryStep).toBeNull();
  const job = (await t.engine.call('jobs.list', {})).find(({ kind }) => kind === 'dry-step')!;
  expect(job.modelId).toBe(added.id);
  await t.reaches(job.id, 'done');
  const shown = { ran: true, loadSeconds: 1, seconds: 0.5, finite: true, width: 8, height: 8 };
  expect(await told).toMatchObject({ id: added.id, dryStep: shown });
  // Adding it again does not try it again, and adding without asking does not try.
  await t.engine.call('models.add', { path, dryStep: true });
  await t.engine.call('models.add', { path: temporaryFolder() });
  expect((await t.engine.call('jobs.list', {})).filter(({ kind }) => kind === 'dry-step')).toHaveLength(1);
  const again = await t.engine.call('models.dryStep', { id: TINY });
  await t.reaches(again.id, 'done');
  const kept = Object.fromEntries((await t.engine.call('models.list', {})).map((m) => [m.id, m.dryStep]));
  expect(kept).toMatchObject({ [added.id]: shown, [TINY]: shown });
});

test('it can be cancelled, and then nothing is known of it', async () => {
  const t = testEngine();
  const path = join(temporaryFolder(), 'wait');
  mkdirSync(path);
  const model = await t.engine.call('models.add', { path });
  const job = await t.engine.call('models.dryStep', { id: model.id });
  await t.reaches(job.id, 'running');
  await t.engine.call('jobs.cancel', { id: job.id });
  await t.reaches(job.id, 'cancelled');
  const list = await t.engine.call('models.list', {});
  expect(list.find(({ id }) => id === model.id)?.dryStep).toBeNull();
});

test('the job says that a model runs, or what of it does not', async () => {
  const tiny = writeTinyModel(join(folder, 'tiny'));
  const spoilt = writeTinyModel(join(folder, 'spoilt'));
  writeFileSync(join(spoilt, 'text_encoder', 'model.onnx'), 'no graph');
  const run = (modelPath: string) => {
    const context = recordedContext(join(folder, 'project'), 'job');
    return jobs['dry-step']({ modelPath, stamp: '' }, context);
  };
  expect(await run(tiny)).toMatchObject({ ran: true, finite: true, width: 8, height: 8 });
  expect(await run(spoilt)).toMatchObject({ ran: false, error: { message: expect.stringContaining('text_encoder') } });
});

test('what a step showed is of the files as they were: it is forgotten with the report, and not kept for other files', () => {
  const { db, close } = openProject(join(temporaryFolder(), 'project'));
  modelReports.put(db, '/m', 'one', {});
  modelReports.putDryStep(db, '/m', 'another', { ran: true });
  expect(modelReports.get(db, '/m')?.dryStep).toBeNull();
  modelReports.putDryStep(db, '/m', 'one', { ran: true });
  expect(modelReports.get(db, '/m')?.dryStep).toEqual({ ran: true });
  modelReports.put(db, '/m', 'two', {});
  expect(modelReports.get(db, '/m')?.dryStep).toBeNull();
  close();
});
