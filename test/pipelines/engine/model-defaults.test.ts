import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { examineModel } from '#models/families/index.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { GeneratePayload, jobEvents } from '#pipelines/engine/jobs/payloads.ts';
import { createModelCatalog } from '#pipelines/engine/model-catalog.ts';
import { LEARNABLE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { openProject } from '#pipelines/store/project.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { recordedContext } from '#test/support/job-context.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-defaults-'));
const project = openProject(join(folder, 'project'));
const catalog = createModelCatalog(project.db, join(folder, 'bundled'), join(folder, 'own'), {
  examine: examineModel,
  stamp: (directory) => directory,
  hash: async () => 'f'.repeat(64),
});
afterAll(() => {
  catalog.close();
  project.close();
  rmSync(folder, { recursive: true, force: true });
});

async function drawn(name: string, payload: GeneratePayload) {
  const context = recordedContext(project.directory, name);
  await jobs.generate(payload, context);
  return context.events.find((e) => e.topic === 'sampleFile')!.data as z.output<typeof jobEvents.sampleFile>;
}

describe('what the engine says of a model is enough to draw with it', () => {
  test.each([
    ['flux-dev', 'flow-match-euler', 'embedded', 'flow-match-sde'],
    ['sd3', 'flow-match-euler', 'classifier-free', 'flow-match-sde'],
    ['sd-turbo', 'euler', 'distilled', 'ddim'],
    ['lcm', 'lcm', 'embedded', 'ddim'],
  ] as const)('%s', async (name, scheduler, guidance, learnable) => {
    const { path, width, sampling } = await catalog.add(tinyFolder(name).write(join(folder, name)));
    expect(sampling).toMatchObject({ guidance, defaults: { scheduler }, freeSize: true });
    const { defaults, samplers, sizeMultiple } = sampling!;
    const payload: GeneratePayload = {
      ...{ modelPath: path, adapterPath: null, prompts: ['a red cat'], negativePrompt: '', count: 1, seed: 1 },
      ...defaults,
      steps: Math.min(4, defaults.steps),
      ...{ keepTrajectories: false, shareInitialNoise: false },
    };
    expect(await drawn(`${name}-plain`, payload)).toMatchObject({ width, height: width });
    const wide = { ...payload, width: width + sizeMultiple };
    expect(await drawn(`${name}-wide`, wide)).toMatchObject({ width: width + sizeMultiple, height: width });
    const first = LEARNABLE_SAMPLERS.find((s) => samplers.includes(s))!;
    expect(first).toBe(learnable);
    const kept = await drawn(`${name}-kept`, { ...payload, scheduler: first, steps: 4, keepTrajectories: true });
    expect(existsSync(join(project.directory, 'trajectories', `${kept.hash}.safetensors`))).toBe(true);
  });
});
