import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hashModelFolder } from '#models/families/index.ts';
import { bankKeys, readBank } from '#pipelines/bank/bank.ts';
import { readColumn } from '#pipelines/bank/columns.ts';
import { pictureIdentity, sequenceIdentity } from '#pipelines/bank/identity.ts';
import { bank } from '#pipelines/engine/jobs/bank.ts';
import type { BankPayload } from '#pipelines/engine/jobs/bank-payload.ts';
import { JobStopped } from '#pipelines/engine/jobs/control.ts';
import { TINY, testEngine } from '#test/support/engine.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const common = { adapterPath: null, key: '', count: 20 } as const;
const drawn = { steps: 2, eta: 1, guidanceScale: 1, scheduler: 'ddim', negativePrompt: '', clipSkip: 1 } as const;
const written = { steps: 4, eta: 0, guidanceScale: 1, scheduler: 'masked', classId: 1, length: null } as const;

const by = (...rewards: string[]) => ({ rewards: rewards.map((reward) => ({ reward, weight: 1 })) });

describe('a job that makes a bank', () => {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-banks-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const tiny = writeTinyModel(join(folder, 'tiny'));
  const dna = writeTinyMaskedModel(join(folder, 'dna'), { length: 16 });
  const project = join(folder, 'project');
  const at = (modelPath: string) => ({ model: hashModelFolder(modelPath), adapters: [], provider: 'cpu' });

  test('of pictures makes the bank that the engine looks for, and a paused one goes on', async () => {
    const settings = { ...drawn, width: 8, height: 8 };
    const prompts = ['a red tulip'];
    const payload: BankPayload = {
      ...common,
      makes: 'pictures',
      modelPath: tiny,
      prompts,
      settings,
      rewards: ['warmth'],
    };
    const identity = pictureIdentity({ ...at(tiny), prompts, settings });
    const first = recordedContext(project, 'job-1');
    const paused = new Proxy(first.control, {
      get: () => (readBank(project, identity).items.length >= 4 ? 'pause' : 'run'),
    });
    await expect(bank(payload, { ...first, control: paused })).rejects.toThrow(JobStopped);
    const kept = readBank(project, identity).items.length;
    expect(kept).toBeGreaterThanOrEqual(4);
    expect(kept).toBeLessThan(20);
    const second = recordedContext(project, 'job-1');
    const found = await bank(payload, second);
    const whole = readBank(project, identity);
    expect(found).toEqual({ key: whole.key, samples: 20 });
    expect(readColumn(whole, 'warmth')!.values).toHaveLength(20);
    expect(second.stages.at(-1)).toBe('warmth looks at 20 of 20');
    rmSync(project, { recursive: true });
  });

  test('of sequences makes the bank that the engine looks for', async () => {
    const payload: BankPayload = { ...common, makes: 'sequences', modelPath: dna, settings: written, rewards: ['gc'] };
    await bank(payload, recordedContext(project, 'job-2'));
    const [key] = bankKeys(project);
    const bankOf = (className: string) =>
      readBank(project, sequenceIdentity({ ...at(dna), className, settings: written }));
    const classes = ['HepG2', 'K562', 'SK-N-SH'];
    expect(classes.map((name) => bankOf(name).key)).toContain(key);
    expect(classes.flatMap((name) => bankOf(name).items)).toHaveLength(20);
  });
});

describe('the window', () => {
  const of = { makes: 'pictures' as const, modelId: TINY, prompts: ['a red tulip'], steps: 3 };

  test('is told of a bank that is not there yet, and what making one comes to', async () => {
    const { engine } = testEngine();
    const shown = await engine.call('banks.show', { of, ...by('warmth') });
    expect(shown).toMatchObject({ samples: 0, scored: 0, callsPerSample: 3, jobId: null, preview: null });
    expect(shown.sizes).toEqual([64, 256]);
    const many = { ...of, prompts: Array.from({ length: 8 }, (_, i) => `prompt ${i}`) };
    expect((await engine.call('banks.show', { of: many, ...by('warmth') })).sizes).toEqual([128, 512]);
  });

  test('starts one job for one bank', async () => {
    const { engine, reaches } = testEngine();
    const job = await engine.call('banks.make', { of, ...by('warmth'), count: 64 });
    expect(job).toMatchObject({ kind: 'bank', title: '64 plain pictures to compare with' });
    await reaches(job.id, 'done');
    expect((await engine.call('banks.show', { of, ...by('warmth') })).jobId).toBeNull();
  });

  test('is told that several rewards need plain samples first, and one without a cap none', async () => {
    const { engine } = testEngine();
    const asked = async (more: object) =>
      (await engine.call('banks.show', { of, ...by('warmth'), ...more })).calibration;
    expect(await asked({})).toBe(0);
    expect(await asked({ cap: 0.9 })).toBe(64);
    expect(await asked(by('warmth', 'contrast'))).toBe(64);
  });

  test('hears at once of a reward that there is not', async () => {
    const { engine } = testEngine();
    const wrong = engine.call('banks.make', { of, ...by('warmness'), count: 64 });
    await expect(wrong).rejects.toMatchObject({ code: 'reward/unknown' });
  });
});
