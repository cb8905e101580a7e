import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-score-'));
afterAll(() => rmSync(folder, { recursive: true }));
const plain = (value: number) => encodePng(new Uint8Array(8 * 8 * 3).fill(value), 8, 8);

beforeAll(async () => {
  writeFileSync(join(folder, 'b-white.png'), await plain(255));
  writeFileSync(join(folder, 'a-black.png'), await plain(0));
  writeFileSync(join(folder, 'notes.txt'), 'not a picture');
});

test('scores the pictures of a folder by name, in order, and sums them up', async () => {
  const run = await runCli('score', folder, '--reward', 'brightness', '--reward', 'colourfulness', '--json');
  expect([run.code, run.err]).toEqual([0, '']);
  const result = run.result() as {
    count: number;
    items: { path: string; scores: Record<string, number> }[];
    rewards: Record<string, { mean: number; std: number }>;
  };
  expect(result.items.map((item) => item.path)).toEqual([join(folder, 'a-black.png'), join(folder, 'b-white.png')]);
  const [black, white] = result.items.map((item) => item.scores.brightness!);
  expect(white!).toBeGreaterThan(black!);
  expect(result.rewards.brightness!.mean).toBeCloseTo((black! + white!) / 2, 6);
  expect(result.rewards.brightness!.std).toBeCloseTo((white! - black!) / 2, 6);
  // Grey has no colour, whatever its brightness.
  expect(result.items.map((item) => item.scores.colourfulness)).toEqual([0, 0]);
});

test.each([
  [['score', join('no', 'such.png'), '--reward', 'brightness'], /such\.png does not exist/],
  [['score', join(folder, 'notes.txt'), '--reward', 'brightness'], /neither a picture nor FASTA/],
  [['score', folder, '--reward', 'brightnes'], /brightnes/],
  [['score', folder], /--reward is missing/],
])('%j is bad input', async (args, message) => {
  const run = await runCli(...args);
  expect([run.code, run.out]).toEqual([2, '']);
  expect(run.err).toMatch(message);
});
