import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { createNodeHost } from '#pipelines/engine/hosts/node-host.ts';
import type { FromCompute, JobSpec } from '#pipelines/engine/job-protocol.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { GeneratePayload } from '#pipelines/engine/jobs/payloads.ts';
import { wantModel } from '#pipelines/engine/jobs/wanted-model.ts';
import { createWarmHost } from '#pipelines/engine/warm-host.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { generated, TINY, temporaryFolder, testEngine } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

test('in the engine, jobs of one model share a process; the one after a kill has another', async () => {
  const t = testEngine();
  await generated(t, ['red'], 1);
  await generated(t, ['blue'], 2);
  const hung = await t.engine.call('generate.start', { modelId: TINY, prompts: ['hang'], count: 2, seed: 1 });
  await t.event('sample');
  await t.engine.call('jobs.cancel', { id: hung.id, hard: true });
  await generated(t, ['green'], 1);
  const pids = t.handles.map(({ pid }) => pid);
  expect(pids).toHaveLength(4);
  expect(new Set(pids.slice(0, 3)).size).toBe(1);
  expect(pids[3]).not.toBe(pids[0]);
  expect((await t.engine.call('samples.list', {})).total).toBe(5);
});

test('a process that ends while it waits for a job is no crash of a job', async () => {
  const t = testEngine();
  await generated(t, ['red'], 1);
  t.handles[0]!.kill();
  const next = await t.engine.call('generate.start', { modelId: TINY, prompts: ['blue'], count: 1, seed: 1 });
  expect(await t.reaches(next.id, 'done', 'paused')).toMatchObject({ state: 'done', crashes: 0 });
});

test('a process that has made other pictures makes the same files as a new one, byte for byte', async () => {
  const folder = temporaryFolder();
  const modelPath = join(folder, 'tiny');
  writeTinyModel(modelPath);
  const adapterPath = join(folder, 'adapter.safetensors');
  const targets = findLoraTargets(openModelFolder(modelPath).unet, 'linear');
  const config = { rank: 2, alpha: 2, targets: 'linear' as const };
  writeLoraFile(adapterPath, { targets, config, parameters: randomLora(targets, config, 3) });
  const payload: GeneratePayload = {
    ...{
      modelPath,
      adapterPath: null,
      prompts: ['a red tulip', 'a white lily'],
      negativePrompt: '',
      count: 2,
      steps: 4,
    },
    ...{ scheduler: 'ddim', eta: 1, guidanceScale: 3, seed: 5, keepTrajectories: true, shareInitialNoise: false },
  };
  const host = createWarmHost(createNodeHost());
  onTestFinished(() => host.close());
  let jobId = 0;
  const inProcess = async (change: Partial<GeneratePayload>) => {
    const { project } = recordedContext(join(folder, 'warm'), '');
    const spec: JobSpec = {
      jobId: `${jobId++}`,
      kind: 'generate',
      project,
      payload: { ...payload, ...change },
      threads: 1,
    };
    const handle = host.fork(spec);
    const messages: FromCompute[] = [];
    const ended = new Promise((resolve) => handle.onExit(resolve));
    handle.onMessage((message) => messages.push(message));
    handle.send({ t: 'start', spec });
    await ended;
    const files = messages.flatMap((m) => (m.t === 'event' && m.topic === 'sampleFile' ? [m.data] : []));
    return { files, pid: handle.pid, last: messages.at(-1) };
  };
  const alone = async (change: Partial<GeneratePayload>) => {
    const context = recordedContext(join(folder, `alone-${jobId}`), 'job');
    await jobs.generate({ ...payload, ...change }, context);
    return context.events.filter(({ topic }) => topic === 'sampleFile').map(({ data }) => data);
  };

  // Files are named by the hash of their bytes, and a picture holds its settings.
  host.warm(wantModel(modelPath, null, 1));
  const ahead = await inProcess({});
  expect(ahead.last).toEqual({ t: 'done', result: { count: 4 } });
  expect(ahead.files).toHaveLength(4);
  expect(ahead.files).toEqual(await alone({}));
  const change = { seed: 6, prompts: ['a pink rose'], steps: 3, guidanceScale: 2 };
  const warm = await inProcess(change);
  expect(warm.files).toEqual(await alone(change));
  expect(warm.pid).toBe(ahead.pid);
  expect((await inProcess({})).files).toEqual(ahead.files);

  // The same path, other weights.
  writeTinyModel(modelPath, 2);
  const other = await inProcess({});
  expect(other.files).toEqual(await alone({}));
  expect(other.files).not.toEqual(ahead.files);
  expect(other.pid).toBe(ahead.pid);

  const adapted = await inProcess({ adapterPath });
  expect(adapted.files).toEqual(await alone({ adapterPath }));
  expect(adapted.files).not.toEqual(other.files);
  expect(adapted.pid).not.toBe(ahead.pid);
});
