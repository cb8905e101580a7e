import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readBank } from '#pipelines/bank/bank.ts';
import { calibrateRewards } from '#pipelines/bank/calibrate.ts';
import { growBank } from '#pipelines/bank/grow.ts';
import { sequenceSource } from '#pipelines/bank/sequence-source.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import { targetValues } from '#pipelines/bank/target.ts';
import { tilt } from '#pipelines/bank/tilt.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import { COMBINATIONS } from '#pipelines/rewards/combine.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';
import {
  generateSequences,
  loadSequencePipeline,
  type SequencePipeline,
} from '#pipelines/sampling/generate-sequences.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-calibrate-'));
const project = join(folder, 'project');
const settings = { eta: 0, steps: 4, guidanceScale: 1, seed: 9, classId: null, length: null };
let pipeline: SequencePipeline;
let source: BankSource;

beforeAll(async () => {
  pipeline = await loadSequencePipeline(writeTinyMaskedModel(join(folder, 'masked'), { length: 16 }), { threads: 1 });
  source = await sequenceSource(pipeline, settings, { adapters: [], provider: 'cpu' });
});
afterAll(async () => {
  await pipeline.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const items = (...sequences: string[]): RewardItem[] => sequences.map((sequence) => ({ kind: 'sequence', sequence }));
const SAMPLES = 24;
const calibrate = (rewards: readonly string[], options: object = {}) =>
  calibrateRewards(source, { rewards, project, samples: SAMPLES, ...options });

async function steer(reward: Reward, method: string, options: object): Promise<string[]> {
  const found: string[] = [];
  const steered = {
    steering: createSteering(method, { ...options }),
    reward: reward.name,
    score: (sequences: readonly string[]) => scoreWith(reward, items(...sequences)),
  };
  for await (const { sequence } of generateSequences({ pipeline, settings, count: 4, steered })) found.push(sequence);
  return found;
}

describe.each(COMBINATIONS)('several rewards by %s', (combine) => {
  test('are a fixed function: the same alone, in a batch and after others', async () => {
    const { reward } = await calibrate(['gc', 'homopolymer@0.5'], { combine });
    const all = items('GCGCGCGCGCGCGCGC', 'AAAATTTTAAAATTTT', 'ACGTACGTTGCATGCA');
    const together = await reward.score(all);
    await reward.score(items('GGGGGGGGGGGGGGGG', 'TTTTTTTTTTTTTTTT'));
    for (const [i, item] of all.entries()) expect((await reward.score([item]))[0]).toBe(together[i]);
    await reward.close();
  });

  test('steer to the same bytes where a constant is added to one and another is scaled', async () => {
    const plain = await calibrate(['expr:gc', 'expr:homopolymer@-0.5'], { combine });
    const moved = await calibrate(['expr:gc + 4', 'expr:8*homopolymer - 2@-0.5'], { combine });
    expect(moved.alpha).toBe(plain.alpha);
    const options = { candidates: 4, alpha: plain.alpha! };
    for (const method of ['svdd-pm', 'best-of-n']) {
      const own = method === 'best-of-n' ? { candidates: 4 } : options;
      expect(await steer(moved.reward, method, own)).toEqual(await steer(plain.reward, method, own));
    }
    await plain.reward.close();
    await moved.reward.close();
  });
});

test('calibrating again makes no sample and scores none, and a larger bank is the same target', async () => {
  const first = await calibrate(['gc', 'homopolymer']);
  const calls = source.calls.count;
  await growBank(readBank(project, source.identity), source, SAMPLES + 16);
  const grown = source.calls.count;
  expect(grown).toBeGreaterThan(calls);
  const again = await calibrate(['gc', 'homopolymer']);
  expect(source.calls.count).toBe(grown);
  const some = items('GCGCGATTGCGCGCGC', 'AAAATTTTAAAATTTT');
  expect(await again.reward.score(some)).toEqual(await first.reward.score(some));
  expect(again.alpha).toBe(first.alpha);
  await first.reward.close();
  await again.reward.close();
});

test('α fits the spread: the tilt of plain samples is about a nat, or as far as they show', async () => {
  const { reward, alpha, bank } = await calibrate(['gc', 'homopolymer@-0.5']);
  const sequences = bank.items
    .slice(0, SAMPLES)
    .map(({ sample }) => (sample.kind === 'sequence' ? sample.sequence : ''));
  const { kl, ess } = tilt([await reward.score(items(...sequences))], alpha!);
  expect(Math.abs(kl - 1) < 0.01 || Math.abs(ess - 10) < 0.1).toBe(true);
  await reward.close();
});

test('a cap gives no credit beyond a quantile of plain samples', async () => {
  const { reward } = await calibrate(['gc', 'expr:0*gc + homopolymer@1e-9'], { cap: 0.9 });
  const [all, most, none] = await reward.score(items('GGGGGGGGGGGGGGGG', 'GCGCGCGCGCGCGCGC', 'AAAAAAAAAAAAAAAA'));
  expect(all).toBeCloseTo(most!, 6);
  expect(none).toBeLessThan(most!);
  await reward.close();
});

test('a cap of what is to be less is at its other end', async () => {
  const { reward } = await calibrate(['gc@-1', 'expr:0*gc + homopolymer@1e-9'], { cap: 0.9 });
  const [none, little, all] = await reward.score(items('AAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAC', 'GGGGGGGGGGGGGGGG'));
  expect(none).toBeCloseTo(little!, 6);
  expect(all).toBeLessThan(little!);
  await reward.close();
});

test.each(COMBINATIONS)('what steering by %s would follow is known of plain samples before', async (combine) => {
  const specs = ['gc', 'homopolymer@-0.5'];
  const { reward, parts, bank } = await calibrate(specs, { combine, cap: 0.8 });
  const plain = bank.items.map(({ sample }) => (sample.kind === 'sequence' ? sample.sequence : ''));
  const columns = await Promise.all(
    parts.map(async ({ name, higherIsBetter, score }, k) => ({
      column: { reward: specs[k]!, name, higherIsBetter, values: [...(await score(items(...plain)))] },
      weight: [1, -0.5][k]!,
    })),
  );
  const known = targetValues(columns, { combine, cap: 0.8 }, SAMPLES);
  const scored = await reward.score(items(...plain));
  for (const [i, value] of known.entries()) expect(value).toBeCloseTo(scored[i]!, 5);
  await reward.close();
});

test('a reward that says the same of every plain sample is refused, with what to do', async () => {
  await expect(calibrate(['gc', 'expr:0*gc'])).rejects.toMatchObject({
    code: 'bank/flat-reward',
    message: expect.stringContaining('expr:0*gc'),
    hint: expect.stringContaining('--bank-samples'),
  });
});

test('what cannot go together is refused before a sample is made', async () => {
  const other = await sequenceSource(pipeline, { ...settings, steps: 3 }, { adapters: [], provider: 'cpu' });
  const calls = other.calls.count;
  const refused = calibrateRewards(other, { rewards: ['gc', 'brightness'], project });
  await expect(refused).rejects.toMatchObject({ code: 'reward/combine' });
  expect(other.calls.count).toBe(calls);
});
