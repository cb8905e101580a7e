import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-bank-cli-'));
const at = (...parts: string[]) => join(root, ...parts);
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => {
  writeTinyMaskedModel(at('dna'), { length: 24 });
  writeTinyModel(at('tiny'));
});

const run = async (...args: string[]) => {
  const done = await runCli('bank', ...args, '--json', '--project', at('project'), '--threads', '1');
  expect(done.err).toBe('');
  return done.result();
};
const refused = async (...args: string[]) => {
  const done = await runCli('bank', ...args);
  expect(done.code).toBe(2);
  return done.err;
};

describe('bank make: sequences', () => {
  const make = (...rest: string[]) => run('make', '--model', at('dna'), '--class', 'K562', '--steps', '4', ...rest);

  test('is made, grows, and is scored by rewards that come later without a sample being made', async () => {
    const first = await make('--count', '20', '--reward', 'gc');
    expect(first).toMatchObject({ samples: 20, made: 20, denoiserCalls: 80, rewards: { gc: expect.any(Object) } });
    expect(existsSync(join(first.directory as string, 'samples.jsonl'))).toBe(true);
    const more = await make('--count', '40');
    expect(more).toMatchObject({ key: first.key, samples: 40, made: 20, denoiserCalls: 80 });
    expect(await make('--count', '40', '--reward', 'homopolymer')).toMatchObject({ made: 0, denoiserCalls: 0 });
    const { banks } = (await run('show')) as { banks: { key: string; rewards: Record<string, { scored: number }> }[] };
    expect(banks).toHaveLength(1);
    expect(banks[0]).toMatchObject({ samples: 40, rewards: { gc: { scored: 20 }, homopolymer: { scored: 40 } } });
  });

  test('shows what a temperature and extra work are expected to give', async () => {
    const { key } = await make('--count', '40');
    const short = (key as string).slice(0, 8);
    const tilted = await run('tilt', short, '--reward', 'gc', '--kl', '0.5');
    expect(tilted.kl).toBeCloseTo(0.5, 6);
    expect(tilted.gain).toBeGreaterThan(0);
    const ess = await run('tilt', short, '--reward', 'gc', '--ess', '12');
    expect(ess).toMatchObject({ ess: expect.closeTo(12, 5), reliable: true });
    const ladder = tilted.ladder as { times: number; bestOf: { mean: number } | null }[];
    expect(ladder[0]).toMatchObject({
      times: 1,
      bestOf: { mean: expect.closeTo((tilted.plain as { mean: number }).mean, 9) },
    });
    expect(ladder.find(({ times }) => times === 64)!.bestOf).toBeNull();
    const methods = tilted.methods as { times: number; within: { method: string; count: number }[] }[];
    expect(methods[1]).toMatchObject({ times: 8 });
    expect(methods[1]!.within).toContainEqual(expect.objectContaining({ method: 'best-of-n', count: 8 }));
    const both = await run('tilt', short, '--reward', 'gc@0.5', '--reward', 'homopolymer@-0.5', '--combine', 'worst');
    expect(both.alpha).toBe(both.suggestedAlpha);
    const shown = await runCli('bank', 'tilt', short, '--reward', 'gc', '--project', at('project'));
    expect(shown.out).toMatch(/×8: /);
    expect(shown.out).toMatch(/estimate for other methods/);
  });

  test('refuses what cannot be, and says what to do', async () => {
    const project = ['--project', at('project')];
    expect(await refused('make', '--model', at('dna'))).toMatch(/--project is missing/);
    expect(await refused('tilt', 'ffff', '--reward', 'gc', ...project)).toMatch(/no bank ffff.*bank show/);
    expect(await refused('tilt', 'f', ...project)).toMatch(/--reward is missing/);
    expect(await refused('tilt', 'f', '--reward', 'gc', '--kl', '1', '--ess', '2', ...project)).toMatch(/three ways/);
    const { key } = await make('--count', '40');
    const far = await refused('tilt', (key as string).slice(0, 8), '--reward', 'gc', '--kl', '9', ...project);
    expect(far).toMatch(/No α gives 9 nats.*--count/);
    expect(await refused('make', '--model', at('dna'), '--prompt', 'x', ...project)).toMatch(/--prompt does not apply/);
  });
});

test('a bank of pictures is the one that steering by several rewards looks for', async () => {
  const what = ['--model', at('tiny'), '--prompt', 'a red tulip', '--steps', '2', '--guidance', '1'];
  const { key } = await run('make', ...what, '--count', '16');
  const steer = ['--decode', 'best-of-n', '--candidates', '2', '--bank-samples', '16', '--seed', '7'];
  const rewards = ['--reward', 'brightness', '--reward', 'contrast'];
  const done = await runCli(
    ...['sample', '--json', '--out', at('out'), '--project', at('project'), '--threads', '1'],
    ...[...what, ...steer, ...rewards],
  );
  expect(done.result()).toMatchObject({ bank: { key, samples: 16, denoiserCalls: 0 } });
});

test('a project without a bank says how one is made', async () => {
  const done = await runCli('bank', 'show', '--project', at('empty'));
  expect(done.code).toBe(0);
  expect(done.out).toMatch(/northlight bank make/);
});
