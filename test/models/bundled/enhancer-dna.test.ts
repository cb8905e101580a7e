import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { bundledModelsFolder } from '#pipelines/cli/bundled.ts';
import { activityOf } from '#pipelines/recipes/enhancer-dna/activity.ts';
import { drawBackground } from '#pipelines/recipes/enhancer-dna/background.ts';
import { CELLS } from '#pipelines/recipes/enhancer-dna/motifs.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

const out = mkdtempSync(join(tmpdir(), 'northlight-enhancer-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

test('the bundled model writes DNA that is more active where it is asked to be than the background it is drawn on', async () => {
  const background = Array.from({ length: 200 }, (_, i) => activityOf(drawBackground(200, new Rng(5).fork(i))));
  const active: number[] = [];
  for (const cell of CELLS) {
    const folder = join(out, cell);
    const asked = ['--model', 'enhancer-dna', '--class', cell, '--count', '6', '--steps', '24', '--seed', '2'];
    const run = await runCli('sample', ...asked, '--out', folder, '--json');
    expect(run.err).toBe('');
    const { sequences } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
      sequences: { sequence: string }[];
    };
    for (const { sequence } of sequences) {
      expect(sequence).toMatch(/^[ACGT]{200}$/);
      active.push(activityOf(sequence)[cell]);
    }
  }
  expect(mean(active)).toBeGreaterThan(mean(background.flatMap((a) => CELLS.map((cell) => a[cell]))) + 0.5);
}, 120_000);

test('the card says that its world is made up, what it is for, and what it was measured to do', () => {
  const card = readFileSync(join(bundledModelsFolder, 'enhancer-dna', 'README.md'), 'utf8');
  expect(card).toMatch(/synthetic/);
  expect(card).toMatch(/This is not biology/);
  expect(card).toMatch(/not for\s+designing DNA that anyone makes/);
  expect(card).toMatch(/median log activity, exact \| -?\d/);
});
