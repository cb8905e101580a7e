import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hashModelFolder } from '#models/families/index.ts';
import { loadValueNetwork, readValueCard, saveValueNetwork, valueModel } from '#pipelines/decoding/value-network.ts';
import { JobStopped } from '#pipelines/engine/jobs/control.ts';
import { values } from '#pipelines/engine/jobs/values.ts';
import type { ValuesPayload } from '#pipelines/engine/jobs/values-payload.ts';
import { rewardHash } from '#pipelines/rewards/reward-hash.ts';
import { TINY, testEngine } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const common = { adapterPath: null, key: '', rewards: [] };
const drawn = { steps: 2, eta: 1, guidanceScale: 1, scheduler: 'ddim', negativePrompt: '', clipSkip: 1 } as const;
const written = { steps: 4, eta: 0, guidanceScale: 1, scheduler: 'masked', classId: 1, length: null } as const;

describe('a job that trains a value network', () => {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-values-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const project = join(folder, 'project');

  test('for pictures writes one that belongs to the model and the reward', async () => {
    const modelPath = writeTinyModel(join(folder, 'tiny'));
    const payload: ValuesPayload = {
      of: {
        ...{ ...common, count: 20, makes: 'pictures', modelPath, prompts: ['a red tulip'] },
        settings: { ...drawn, width: 8, height: 8 },
      },
      reward: 'brightness',
      folder: join(project, 'values', 'light'),
    };
    const context = recordedContext(project, 'job-1');
    await values(payload, context);
    expect(context.stages[0]).toBe('opening the model');
    expect(context.stages).toContain('sample 20 of 20 to learn from');
    expect(context.stages.at(-1)).toBe('learning, update 600 of 600');
    const of = { modelHash: hashModelFolder(modelPath), reward: 'brightness' };
    await (await loadValueNetwork(payload.folder, of)).close();
  });

  test('for sequences stops when it is told to, and goes on with what it has collected', async () => {
    const modelPath = writeTinyMaskedModel(join(folder, 'dna'), { length: 10 });
    const payload: ValuesPayload = {
      of: { ...common, count: 16, makes: 'sequences', modelPath, settings: written },
      reward: 'gc',
      folder: join(project, 'values', 'gc'),
    };
    const stopped = recordedContext(project, 'job-2');
    const half = join(payload.folder, 'states', '0000.safetensors');
    const control = new Proxy(stopped.control, { get: () => (existsSync(half) ? 'pause' : 'run') });
    await expect(values(payload, { ...stopped, control })).rejects.toThrow(JobStopped);
    expect(existsSync(join(payload.folder, 'value.json'))).toBe(false);
    const kept = statSync(half).mtimeMs;
    await values(payload, recordedContext(project, 'job-2'));
    expect(statSync(half).mtimeMs).toBe(kept);
    expect(readValueCard(payload.folder)).toMatchObject({ reward: 'gc', dims: [10, 10] });
  });
});

describe('value networks of a form', () => {
  const of = {
    ...{ makes: 'pictures' as const, modelId: TINY, adapterId: null, prompts: ['a red tulip'], negativePrompt: '' },
    ...{ steps: 10, scheduler: 'ddim' as const, eta: 1, guidanceScale: 1, clipSkip: 1, width: null, height: null },
  };

  test('are none at first, with what one would cost', async () => {
    const { engine } = testEngine();
    const view = await engine.call('values.show', { of, reward: 'warmth' });
    expect(view).toMatchObject({ networks: [], jobId: null });
    // Ten steps; at nine of them three more candidates.
    expect(view.cost.denoiserCalls).toBe(view.cost.samples * (10 + 9 * 3));
    expect(view.cost.rewardCalls).toBe(view.cost.samples * (1 + 9 * 4));
  });

  test('are those of the project that belong to this model and reward', async () => {
    const { engine, project } = testEngine();
    // What every model hashes to here.
    const own = { modelHash: 'f'.repeat(64), reward: 'warmth', rewardHash: rewardHash('warmth') };
    const put = (name: string, more: object) => {
      const card = {
        ...{ ...own, kind: 'guess' as const, alpha: 1, dims: [6, 8, 8], hidden: 2, offset: 0, scale: 1, trust: [1] },
        ...{ samples: 3, correlation: null, guessCorrelation: null, choice: [0.1, 0.2, 0.3], ...more },
      };
      saveValueNetwork(join(project.directory, 'values', name), { card, model: valueModel([6, 8, 8], 2, 0) });
    };
    put('ours', {});
    put('other-model', { modelHash: 'a'.repeat(64) });
    put('other-reward', { reward: 'contrast', rewardHash: rewardHash('contrast') });
    put('changed-reward', { rewardHash: 'b'.repeat(64) });
    const { networks } = await engine.call('values.show', { of, reward: 'warmth' });
    expect(networks).toEqual([
      expect.objectContaining({ folder: join(project.directory, 'values', 'ours'), choice: [0.1, 0.2, 0.3] }),
    ]);
  });

  test('are trained by one job for one form', async () => {
    const { engine, reaches } = testEngine();
    const job = await engine.call('values.train', { of, reward: 'warmth' });
    expect(job).toMatchObject({ kind: 'values', title: 'A value network for warmth' });
    await reaches(job.id, 'done');
    expect((await engine.call('values.show', { of, reward: 'warmth' })).jobId).toBeNull();
  });

  test('are refused for a reward that is not there', async () => {
    const { engine } = testEngine();
    await expect(engine.call('values.train', { of, reward: 'beauty' })).rejects.toMatchObject({
      code: 'reward/unknown',
    });
  });
});
