import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

/** Several rewards steer as one that does not move: plain samples are made first, kept, and used again. */

const root = mkdtempSync(join(tmpdir(), 'northlight-sample-several-'));
const at = (...parts: string[]) => join(root, ...parts);
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => {
  writeTinyMaskedModel(at('dna'), { length: 24 });
  writeTinyModel(at('tiny'));
});

interface Result {
  readonly denoiserCalls: number;
  readonly rewardCalls: number;
  readonly valueCalls: number;
  readonly bank?: { readonly key: string; readonly samples: number; readonly denoiserCalls: number };
  readonly rewards: { readonly mean: number };
}

const run = async (out: string, ...args: string[]) => {
  const done = await runCli('sample', '--out', at(out), '--json', '--seed', '3', '--threads', '1', ...args);
  expect(done.err).toBe('');
  return done.result() as unknown as Result;
};
const manifest = (out: string) => JSON.parse(readFileSync(at(out, 'manifest.json'), 'utf8')) as Record<string, unknown>;

describe('sequences', () => {
  const sample = (out: string, ...rest: string[]) =>
    run(out, '--model', at('dna'), '--class', 'K562', '--count', '3', '--steps', '4', '--bank-samples', '24', ...rest);
  const letters = (out: string) => readFileSync(at(out, 'samples.fasta'), 'utf8').replaceAll(/ reward=\S+/g, '');
  const two = ['--reward', 'expr:gc@0.5', '--reward', 'expr:homopolymer@-0.5'];
  const svdd = ['--decode', 'svdd-pm', '--candidates', '4'];

  test('are steered by two rewards at once; plain samples are made once for a project, and what all took is told', async () => {
    const project = ['--project', at('project')];
    const first = await sample('first', ...two, ...svdd, ...project);
    expect(first.bank).toMatchObject({ samples: 24, denoiserCalls: 24 * 4 });
    const again = await sample('again', ...two, ...svdd, ...project);
    expect(again.bank).toEqual({ ...first.bank, denoiserCalls: 0 });
    expect(again.denoiserCalls).toBe(first.denoiserCalls);
    expect(readFileSync(at('again', 'samples.fasta'))).toEqual(readFileSync(at('first', 'samples.fasta')));
    const { denoiserCalls, rewardCalls, valueCalls } = first;
    expect(valueCalls).toBe(0);
    const written = manifest('first');
    expect(written).toMatchObject({
      combine: 'sum',
      bank: { key: first.bank!.key, samples: 24 },
      calls: { denoiserCalls, rewardCalls, valueCalls },
    });
    // The temperature that was found, written out, makes the same.
    const { alpha } = written.decode as { alpha: number };
    expect(alpha).toBeGreaterThan(0.2);
    await sample('by-hand', ...two, ...svdd, ...project, '--alpha', String(alpha));
    expect(letters('by-hand')).toBe(letters('first'));
    await sample('as-said', ...two, ...svdd, ...project, '--alpha', '0.1');
    expect(manifest('as-said')).toMatchObject({ decode: { alpha: 0.1 } });
  });

  test('do not change when a constant is added to a reward', async () => {
    const best = ['--decode', 'best-of-n', '--candidates', '4'];
    const moved = ['--reward', 'expr:gc + 2@0.5', '--reward', 'expr:homopolymer - 1@-0.5'];
    for (const [method, flags] of Object.entries({ svdd, best })) {
      await sample(`${method}-as-is`, ...two, ...flags);
      await sample(`${method}-moved`, ...moved, ...flags);
      expect(letters(`${method}-moved`)).toBe(letters(`${method}-as-is`));
      expect(existsSync(at(`${method}-moved`, 'banks'))).toBe(true);
    }
  });

  test('follow the operator that joins the rewards', async () => {
    const project = ['--project', at('project')];
    const found = new Set<string>();
    for (const combine of ['sum', 'worst', 'krc', 'lexicographic']) {
      await sample(combine, ...two, ...svdd, ...project, '--combine', combine);
      expect(manifest(combine)).toMatchObject({ combine });
      found.add(letters(combine));
    }
    expect(found.size).toBeGreaterThan(1);
  });

  test('are refused what cannot be: a gradient of several, a reward that is the same everywhere', async () => {
    const refused = async (...args: string[]) => {
      const done = await runCli('sample', '--model', at('dna'), '--class', 'K562', '--out', at('refused'), ...args);
      expect(done.code).toBe(2);
      return done.err;
    };
    expect(await refused(...two, '--decode', 'gradient')).toMatch(/gradient of one reward/);
    const flat = ['--reward', 'gc', '--reward', 'expr:0*gc', '--bank-samples', '16', '--steps', '2'];
    expect(await refused(...flat, '--decode', 'svdd-pm')).toMatch(/same of all 16 plain samples/);
  });
});

test('pictures are steered by two rewards, one of them with a cap, and a cap alone works too', async () => {
  const sample = (out: string, ...rest: string[]) =>
    run(
      out,
      '--model',
      at('tiny'),
      '--prompt',
      'a red tulip',
      '--count',
      '2',
      '--steps',
      '3',
      '--save-tensors',
      ...rest,
    );
  const steer = [
    '--decode',
    'best-of-n',
    '--candidates',
    '3',
    '--guidance',
    '1',
    '--bank-samples',
    '16',
    '--project',
    at('pictures'),
  ];
  const result = await sample(
    'two',
    '--reward',
    'brightness@0.5',
    '--reward',
    'contrast@0.5',
    ...steer,
    '--cap',
    '0.9',
  );
  expect(result.bank).toMatchObject({ samples: 16, denoiserCalls: 48 });
  expect(manifest('two')).toMatchObject({ cap: 0.9, rewards: ['brightness@0.5', 'contrast@0.5'] });
  const one = await sample('one', '--reward', 'brightness', ...steer, '--cap', '0.5');
  expect(one.bank).toMatchObject({ denoiserCalls: 0 });
  const rewards = Array.from(
    readSafetensors(at('one', 'samples.safetensors')).tensors.get('rewards')!.data as Float32Array,
  );
  expect(Math.max(...rewards)).toBeLessThanOrEqual(0);
});
