import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { runCli } from './run-cli.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-score-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string | Buffer) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

interface Scored {
  readonly items: { id: string; scores: Record<string, number>; combined?: number }[];
  readonly rewards: Record<string, { mean: number }>;
  readonly failures: { id: string; reward: string; code: string; message: string }[];
}
const scored = async (...args: string[]) => (await runCli('score', '--json', ...args)).result() as unknown as Scored;
/** As {@link scored}, where something is known to fail. */
const scoredInPart = async (...args: string[]) => {
  const run = await runCli('score', '--json', ...args);
  expect(run.code).toBe(1);
  return run.result() as unknown as Scored;
};

const fasta = () => file('three.fasta', '>rich\nGGCC\n>mixed\nACGT\n>poor\nAATT\n');

test('sequences of FASTA and CSV have the same scores', async () => {
  const csv = file('three.csv', 'name,sequence\nrich,GGCC\nmixed,ACGT\npoor,AATT\n');
  for (const path of [fasta(), csv]) {
    const { items, rewards } = await scored(path, '--reward', 'gc');
    expect(items.map(({ id, scores, combined }) => [id, scores, combined])).toEqual([
      ['rich', { gc: 1 }, undefined],
      ['mixed', { gc: 0.5 }, undefined],
      ['poor', { gc: 0 }, undefined],
    ]);
    expect(rewards.gc!.mean).toBe(0.5);
  }
});

describe('several rewards', () => {
  test('become one number with weights, where what is better when lower is turned around', async () => {
    const { items } = await scored(fasta(), '--reward', 'gc@2', '--reward', 'homopolymer');
    // gc is 1, 0.5, 0: z, 0, −z with z = √1.5. Runs are 2, 1, 2, turned around: −z/√3, 2z/√3, −z/√3.
    const z = Math.sqrt(1.5);
    const expected = [(2 * z - z / 3 ** 0.5) / 3, (2 * z) / 3 ** 0.5 / 3, (-2 * z - z / 3 ** 0.5) / 3];
    for (const [i, item] of items.entries()) expect(item.combined).toBeCloseTo(expected[i]!, 3);
    expect(Object.keys(items[0]!.scores)).toEqual(['gc', 'homopolymer']);
  });

  test.each(['krc', 'worst', 'lexicographic'])('may be combined by %s', async (combine) => {
    const { items } = await scored(fasta(), '--reward', 'gc', '--reward', 'expr:gc^2', '--combine', combine);
    const values = items.map(({ combined }) => combined!);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    expect(values[0]!).toBeGreaterThan(values[2]!);
  });

  test('stand beside each other in the table, with the combined number', async () => {
    const { out } = await runCli('score', fasta(), '--reward', 'gc', '--reward', 'cpg');
    expect(out.split('\n')[0]).toMatch(/^1\.00000\t0\.00000\t-?[\d.]+\t.*three\.fasta:rich$/);
  });
});

test('an item that cannot be scored is reported by its name, and the others are scored', async () => {
  const path = file('odd.fasta', '>good\nACGTACGTACGTACGT\n>odd\nACGTNACGTACGTACGT\n');
  const { items, failures } = await scoredInPart(path, '--reward', 'melting-temperature', '--reward', 'gc');
  expect(items[0]!.scores['melting-temperature']).toBeGreaterThan(20);
  expect(items[0]!.combined).toBeDefined();
  expect(items[1]!.scores).toEqual({ gc: 0.5 });
  expect(items[1]!.combined).toBeUndefined();
  expect(failures).toMatchObject([{ id: 'odd', reward: 'melting-temperature', code: 'reward/letter' }]);
  expect(failures[0]!.message).toMatch(/^"N" at position 5/);
});

test('a picture that cannot be read fails alone, with exit code 1 and its name in the table', async () => {
  const good = file('good.png', await encodePng(new Uint8Array([255, 255, 255]), 1, 1));
  const torn = file('torn.png', Buffer.from('no picture'));
  const { code, out } = await runCli('score', torn, good, '--reward', 'brightness');
  expect(code).toBe(1);
  expect(out).toMatch(/^failed\t.*torn\.png$/m);
  expect(out).toMatch(/^1\.00000\t.*good\.png$/m);
  expect(out).toMatch(/^brightness: 1\.0000 ± 0\.00 over 1$/m);
  expect(out).toMatch(/^brightness of .*torn\.png failed: /m);
});

test('a reward that fails on everything loses nothing of the reward before it', async () => {
  const { items, failures } = await scoredInPart(fasta(), '--reward', 'gc', '--reward', 'codon-index');
  expect(items.map(({ scores }) => scores)).toEqual([{ gc: 1 }, { gc: 0.5 }, { gc: 0 }]);
  expect(failures.map(({ id, reward }) => `${id} ${reward}`)).toEqual([
    'rich codon-index',
    'mixed codon-index',
    'poor codon-index',
  ]);
});

test('a reward that fails on everything ends the command with its error', async () => {
  const { code, err } = await runCli('score', fasta(), '--reward', 'brightness');
  expect(code).not.toBe(0);
  expect(err).toMatch(/scores pictures/);
});

test.runIf(process.platform !== 'win32')('a program scores sequences and then ends', async () => {
  const script = file('len.sh', 'while read -r line; do echo \'{"id":1,"scores":[3,2,1]}\'; done\n');
  const { items } = await scored(fasta(), '--reward', `command:sh '${script}'`);
  expect(items.map(({ scores }) => Object.values(scores)[0])).toEqual([3, 2, 1]);
});

test('pictures take new rewards with their options', async () => {
  const path = file('red.png', await encodePng(new Uint8Array([255, 0, 0, 255, 0, 0]), 2, 1));
  const { items } = await scored(path, '--reward', 'palette-distance:#ff0000', '--reward', 'contrast');
  expect(Object.values(items[0]!.scores)).toEqual([0, 0]);
});
