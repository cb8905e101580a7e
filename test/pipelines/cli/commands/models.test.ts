import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { describeModel, formatBytes, type ModelReport } from '#pipelines/cli/model-report.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-models-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('models inspect', () => {
  test('a folder that is no model ends with exit code 2 and says what belongs there', async () => {
    const run = await runCli('models', 'inspect', folder);
    expect(run.code).toBe(2);
    expect(run.out + run.err).toMatch(/model_index\.json/);
    expect(run.out + run.err).not.toMatch(/\n\s+at /);
  });

  test('a folder that does not exist is named', async () => {
    const run = await runCli('models', 'inspect', join(folder, 'absent'));
    expect(run.code).toBe(2);
    expect(run.out + run.err).toContain(join(folder, 'absent'));
  });
});

describe('models list', () => {
  test('lists every bundled model as ready', async () => {
    const run = await runCli('models', 'list', '--json');
    const { models } = run.result() as { models: (ModelReport & { bundled: boolean })[] };
    expect(models.filter((model) => model.bundled && !model.usable)).toEqual([]);
    expect(models.some((model) => model.bundled)).toBe(true);
  });

  test('a damaged folder among others is listed with its problem, not an end of the list', async () => {
    mkdirSync(join(folder, 'broken'));
    writeFileSync(join(folder, 'broken', 'model_index.json'), '{');
    const run = await runCli('models', 'list', '--folder', folder, '--json');
    expect(run.code).toBe(0);
    const { models } = run.result() as { models: (ModelReport & { path: string })[] };
    expect(models.find((model) => model.path === join(folder, 'broken'))).toMatchObject({ usable: false });
  });
});

test('a report reads as a few lines with every problem and its fix', () => {
  const text = describeModel({
    name: 'n',
    family: 'f',
    components: ['unet'],
    parameters: 1_234_567,
    sizeBytes: 4_900_000,
    width: 32,
    height: 32,
    predictionType: 'epsilon',
    usable: false,
    problems: [{ message: 'unet/model.onnx is missing.', hint: 'Export it.' }],
    description: '',
    examplePrompts: [],
    hash: '',
  });
  expect(text).toContain('1,234,567 parameters, 4.9 MB');
  expect(text).toContain('! unet/model.onnx is missing. Export it.');
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [3_440_000_000, '3.4 GB'],
  [25e9, '25 GB'],
])('%d bytes read as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
