import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyScorer } from '#test/support/reward-models.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-sample-steered-'));
const at = (...parts: string[]) => join(root, ...parts);
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => {
  writeTinyMaskedModel(at('dna'), { length: 40 });
});

const run = async (model: string, out: string, ...rest: string[]) => {
  const done = await runCli('sample', '--model', model, '--out', at(out), '--json', '--seed', '3', ...rest);
  expect(done.err).toBe('');
  return done.result() as { denoiserCalls: number; rewardCalls: number; rewards: { mean: number; values: number[] } };
};
const refused = async (...args: string[]) => {
  const done = await runCli('sample', '--out', at('refused'), ...args);
  expect(done.code).toBe(2);
  return done.err;
};

describe('sequences', () => {
  const sample = (out: string, ...rest: string[]) =>
    run(at('dna'), out, '--count', '6', '--class', 'K562', '--steps', '8', '--reward', 'gc', '--save-tensors', ...rest);
  const fasta = (out: string) => readFileSync(at(out, 'samples.fasta'), 'utf8').replaceAll(/ reward=\S+/g, '');

  test('steered by GC content have more of it, the more candidates the more, and say what they cost', async () => {
    const plain = await sample('plain');
    const steered = await sample('svdd', '--decode', 'svdd-pm', '--candidates', '6', '--set', 'select=argmax');
    const best = await sample('best', '--decode', 'best-of-n', '--candidates', '6');
    expect(best.rewards.mean).toBeGreaterThan(plain.rewards.mean);
    expect(steered.rewards.mean).toBeGreaterThan(best.rewards.mean);
    expect(steered.denoiserCalls).toBeGreaterThan(plain.denoiserCalls);
    expect(steered.rewardCalls).toBeGreaterThan(6 * 8);
    expect(best.rewardCalls).toBe(36);
    const manifest = JSON.parse(readFileSync(at('svdd', 'manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({ rewards: ['gc'], decode: { name: 'svdd-pm', candidates: 6, select: 'argmax' } });
  });

  test('of one candidate or one particle are those of plain sampling, with their weights', async () => {
    await sample('plain-1');
    for (const decode of ['svdd-pm', 'smc', 'best-of-n']) {
      const out = `one-${decode}`;
      const result = await sample(out, '--decode', decode, '--candidates', '1');
      expect(fasta(out)).toBe(fasta('plain-1'));
      const tensors = readSafetensors(at(out, 'samples.safetensors')).tensors;
      if (decode === 'best-of-n') expect(tensors.has('logWeights')).toBe(false);
      else {
        // α is 0.1: W = exp(r/α).
        const weights = Array.from(tensors.get('logWeights')!.data as Float32Array);
        weights.forEach((w, i) => {
          expect(w).toBeCloseTo(result.rewards.values[i]! / 0.1, 4);
        });
      }
    }
  });

  test('do not depend on how many are made at once', async () => {
    const steer = ['--decode', 'svdd-pm', '--candidates', '3', '--alpha', '0.05'];
    await sample('batch-1', '--batch', '1', ...steer);
    await sample('batch-6', '--batch', '6', ...steer);
    expect(readFileSync(at('batch-1', 'samples.fasta'))).toEqual(readFileSync(at('batch-6', 'samples.fasta')));
  });
});

test('pictures steered toward compressibility beat the same number of calls spent on luck', async () => {
  const sample = (out: string, ...rest: string[]) =>
    run(
      'flora',
      out,
      '--prompt',
      'a red tulip',
      '--count',
      '2',
      '--steps',
      '6',
      '--reward',
      'compressibility',
      ...rest,
    );
  const plain = await sample('p-plain', '--eta', '1');
  const one = await sample('p-one', '--decode', 'svdd-pm', '--candidates', '1');
  const steered = await sample('p-svdd', '--decode', 'svdd-pm', '--candidates', '4', '--set', 'select=argmax');
  expect(one.rewards.values).toEqual(plain.rewards.values);
  expect(steered.rewards.mean).toBeGreaterThan(plain.rewards.mean);
  const read = await readPictureSettings(at('p-svdd', '0000.png'));
  expect(read?.own?.steering).toMatchObject({ decoder: 'svdd-pm', reward: 'compressibility' });
});

describe('what cannot be steered is refused by name', () => {
  test.each([
    [['--decode', 'svdd-pm'], /needs something to follow/],
    [['--decode', 'gradient', '--reward', 'gc', '--reward', 'cpg'], /gradient of one reward/],
    [['--candidates', '4'], /for steered sampling/],
    [['--decode', 'best-of-n', '--reward', 'gc', '--alpha', '1'], /no temperature/],
    [['--decode', 'gradient', '--reward', 'gc'], /No gradient of this reward is known/],
    [['--decode', 'svdd-mc', '--reward', 'gc', '--set', 'value=nowhere'], /nowhere/],
    [['--decode', 'svdd-pm', '--reward', 'gc', '--set', 'candidate=3'], /candidates/],
  ])('%j', async (args, message) => {
    expect(await refused('--model', at('dna'), '--class', 'K562', ...args)).toMatch(message);
  });

  test('a solver with a memory cannot branch', async () => {
    const error = await refused(
      '--model',
      'flora',
      '--decode',
      'smc',
      '--reward',
      'brightness',
      '--scheduler',
      'unipc',
    );
    expect(error).toMatch(/remembers earlier steps/);
  });
});

describe('led by a gradient', () => {
  const scorer = () => writeTinyScorer(at('scorer'), { dims: ['B', 40, 4], sizes: [1, 40, 4] });
  const led = (out: string, ...rest: string[]) =>
    run(at('dna'), out, '--count', '6', '--class', 'K562', '--steps', '8', '--reward', `onnx:${scorer()}`, ...rest);

  test('sequences have more of an ONNX reward', async () => {
    const plain = await led('g-plain');
    const steered = await led('g-led', '--decode', 'gradient', '--alpha', '0.2');
    expect(steered.rewards.mean).toBeGreaterThan(plain.rewards.mean + 0.1);
    // As many calls of the denoiser, but where fewer or more positions were open.
    expect(steered.denoiserCalls).toBeLessThanOrEqual(6 * 8);
  });

  test('a reward without one is refused, and told what to do', async () => {
    const base = ['--model', at('dna'), '--class', 'K562', '--steps', '4', '--decode', 'gradient'];
    expect(await refused(...base, '--reward', 'gc')).toMatch(/No gradient of this reward[\s\S]*svdd-pm/);
    const ids = writeTinyScorer(at('wrong'), { dims: ['B', 39, 4], sizes: [1, 39, 4] });
    expect(await refused(...base, '--reward', `onnx:${ids}`)).toContain('takes 39');
  });
});
