import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { openModelFolder } from '#models/families/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { findLoraTargets, initLora } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { ComparePayload, GeneratePayload, jobEvents } from '#pipelines/engine/jobs/payloads.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { type RecordedContext, recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

type SampleFile = z.output<typeof jobEvents.sampleFile>;

const folder = mkdtempSync(join(tmpdir(), 'northlight-jobs-'));
const model = join(folder, 'tiny');
const adapter = join(folder, 'adapter.safetensors');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(() => {
  writeTinyModel(model);
  const { unet } = openModelFolder(model);
  const targets = findLoraTargets(unet, 'linear');
  const config = { rank: 2, alpha: 2, targets: 'linear' as const };
  writeLoraFile(adapter, { targets, config, parameters: randomLora(targets, config, 3) });
});

const PAYLOAD: GeneratePayload = {
  modelPath: model,
  adapterPath: null,
  prompts: ['a red tulip', 'a white lily'],
  negativePrompt: '',
  count: 3,
  steps: 4,
  scheduler: 'ddim',
  eta: 1,
  guidanceScale: 3,
  seed: 5,
  keepTrajectories: true,
  shareInitialNoise: false,
};

const files = (context: RecordedContext) =>
  context.events.filter((e) => e.topic === 'sampleFile').map((e) => e.data as SampleFile);

/** name → bytes of a folder. */
const contents = (path: string) =>
  new Map(
    readdirSync(path)
      .sort()
      .map((name) => [name, readFileSync(join(path, name))]),
  );

async function generate(project: string, change: Partial<GeneratePayload> = {}): Promise<RecordedContext> {
  const context = recordedContext(join(folder, project), 'job');
  await jobs.generate({ ...PAYLOAD, ...change }, context);
  return context;
}

describe('a generate job', () => {
  test('makes the same files for the same seed, pictures and trajectories, byte for byte', async () => {
    const [a, b] = [await generate('same-a'), await generate('same-b')];
    expect(files(a)).toEqual(files(b));
    expect(files(a)).toHaveLength(6);
    for (const part of ['trajectories', 'samples']) {
      const ours = contents(join(a.project, part));
      const theirs = contents(join(b.project, part));
      // Previews come when there is time for them, so only finished pictures are compared.
      for (const { hash } of files(a)) {
        const name = part === 'samples' ? `${hash}.png` : `${hash}.safetensors`;
        expect(ours.get(name)).toBeDefined();
        expect(ours.get(name)!.equals(theirs.get(name)!)).toBe(true);
      }
    }
  });

  test('makes other pictures for another seed, prompt, adapter or number of steps', async () => {
    const first = new Set(files(await generate('other-a')).map((f) => f.hash));
    for (const [name, change] of Object.entries({
      seed: { seed: 6 },
      adapter: { adapterPath: adapter },
      steps: { steps: 5 },
      prompt: { prompts: ['a blue daisy', 'a yellow poppy'] },
    })) {
      const hashes = files(await generate(`other-${name}`, change)).map((f) => f.hash);
      expect(hashes.filter((hash) => first.has(hash))).toEqual([]);
    }
  });

  test('that was paused announces its pictures again and makes only the rest', async () => {
    const whole = files(await generate('paused-whole', { count: 6 }));
    const project = join(folder, 'paused');
    const first = recordedContext(project, 'job', (context, topic) => {
      if (topic === 'sampleFile' && files(context).length === 5) context.control.request = 'pause';
    });
    expect(await jobs.generate({ ...PAYLOAD, count: 6 }, first)).toBeNull();
    const done = files(first);
    expect(done.length).toBeGreaterThanOrEqual(5);
    expect(done.length).toBeLessThan(12);
    const times = done.map((f) => statSync(join(project, 'samples', `${f.hash}.png`)).mtimeMs);
    const second = recordedContext(project, 'job');
    expect(await jobs.generate({ ...PAYLOAD, count: 6 }, second)).toEqual({ count: 12 });
    expect(files(second).slice(0, done.length)).toEqual(done);
    expect(files(second).sort((a, b) => a.position - b.position)).toEqual(whole);
    expect(done.map((f) => statSync(join(project, 'samples', `${f.hash}.png`)).mtimeMs)).toEqual(times);
  });

  test('makes a picture again whose file is gone, and reads a journal with a torn last line', async () => {
    const first = await generate('torn');
    const gone = files(first)[2]!;
    rmSync(join(first.project, 'samples', `${gone.hash}.png`));
    appendFileSync(join(first.project, 'jobs', 'job', 'journal.jsonl'), '{"hash":"12');
    const again = await generate('torn');
    expect(files(again).sort((a, b) => a.position - b.position)).toEqual(files(first));
    expect(statSync(join(first.project, 'samples', `${gone.hash}.png`)).size).toBeGreaterThan(0);
  });

  test('with shared initial noise starts the pictures of one prompt alike, and only those', async () => {
    const { project, events: _, ...rest } = await generate('shared', { shareInitialNoise: true });
    const made = files({ project, events: _, ...rest });
    const { readTrajectory } = await import('#pipelines/sampling/trajectory.ts');
    const starts = made.map((f) => {
      const { trajectory } = readTrajectory(join(project, 'trajectories', `${f.hash}.safetensors`));
      return Buffer.from(trajectory.states.slice(0, 192).buffer).toString('hex');
    });
    expect(new Set(starts).size).toBe(2);
    expect(new Set(starts.slice(0, 3)).size).toBe(1);
    expect(new Set(made.map((f) => f.hash)).size).toBe(6);
  });

  test.each([
    ['a folder that is not there', { modelPath: join(folder, 'nowhere') }, 'model/no-folder'],
    ['trajectories of a deterministic sampler', { eta: 0 }, 'sampling/no-noise'],
    ['an adapter that is not there', { adapterPath: join(folder, 'no.safetensors') }, /^file\//],
  ] as [string, Partial<GeneratePayload>, string | RegExp][])(
    'refuses %s by a named error',
    async (_title, change, code) => {
      const wanted = typeof code === 'string' ? code : expect.stringMatching(code);
      await expect(generate('refused', change)).rejects.toMatchObject({ name: 'NorthlightError', code: wanted });
    },
  );
});

describe('a compare job', () => {
  const payload: ComparePayload = {
    modelPath: model,
    adapterAPath: null,
    adapterBPath: adapter,
    prompts: ['a red tulip', 'a white lily'],
    perPrompt: 2,
    negativePrompt: '',
    steps: 3,
    scheduler: 'ddim',
    eta: 0,
    guidanceScale: 3,
    seed: 9,
  };

  test('draws both sides from the same seeds, so that equal models give equal pictures', async () => {
    const context = recordedContext(join(folder, 'equal'), 'job');
    await jobs.compare({ ...payload, adapterBPath: null }, context);
    const side = (s: string) =>
      files(context)
        .filter((f) => f.side === s)
        .map((f) => [f.position, f.hash]);
    expect(side('A')).toHaveLength(4);
    expect(side('A')).toEqual(side('B'));
  });

  test('differs on every picture where an adapter changes the model', async () => {
    const context = recordedContext(join(folder, 'differs'), 'job');
    await jobs.compare(payload, context);
    const side = (s: string) =>
      files(context)
        .filter((f) => f.side === s)
        .map((f) => f.hash);
    expect(side('A').filter((hash) => side('B').includes(hash))).toEqual([]);
  });

  test('that was paused between the sides makes only the other side', async () => {
    const project = join(folder, 'between');
    const first = recordedContext(project, 'job', (context) => {
      if (files(context).length === 4) context.control.request = 'pause';
    });
    await jobs.compare(payload, first);
    expect(files(first).map((f) => f.side)).toEqual(['A', 'A', 'A', 'A']);
    const second = recordedContext(project, 'job');
    await jobs.compare(payload, second);
    expect(files(second).map((f) => f.side)).toEqual(['A', 'A', 'A', 'A', 'B', 'B', 'B', 'B']);
  });
});

describe('a verify job', () => {
  test('finds that an adapter inserted and merged is the same function, and that it does something', async () => {
    const context = recordedContext(join(folder, 'verify'), 'job');
    const result = (await jobs.verify({ modelPath: model, adapterPath: adapter }, context)) as {
      difference: number;
      effect: number;
    };
    expect(result.difference).toBeLessThan(1e-4 * Math.max(1, result.effect));
    expect(result.effect).toBeGreaterThan(1e-2);
  });

  test('finds no effect of an adapter that was never trained', async () => {
    const { unet } = openModelFolder(model);
    const targets = findLoraTargets(unet, 'all');
    const fresh = join(folder, 'fresh.safetensors');
    const config = { rank: 2, alpha: 2, targets: 'all' as const };
    writeLoraFile(fresh, { targets, config, parameters: initLora(targets, config, new Rng(0)) });
    const result = await jobs.verify(
      { modelPath: model, adapterPath: fresh },
      recordedContext(join(folder, 'fresh'), 'job'),
    );
    // Other fused kernels round differently; nothing more.
    expect((result as { effect: number }).effect).toBeLessThan(1e-5);
  });
});
