import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { isExternal } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import type { InspectResult } from '#pipelines/cli/doctor-report.ts';
import { describeModel, formatBytes, type ModelReport } from '#pipelines/cli/model-report.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
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

describe('models inspect of a model', () => {
  const models = mkdtempSync(join(tmpdir(), 'northlight-models-'));
  afterAll(() => rmSync(models, { recursive: true }));
  const model = tinyFolder('sd1').write(join(models, 'tiny-sd1'));

  test('--json gives every component with its inputs; with --dry-step one small step through all of it', async () => {
    const run = await runCli('models', 'inspect', model, '--dry-step', '--json');
    expect(run.code).toBe(0);
    expect(run.result()).toMatchObject({ usable: true, family: 'sd1', problems: [], hash: null });
    const { components, dryStep } = run.result() as unknown as InspectResult;
    expect(components.map((c) => c.role).sort()).toEqual(['denoiser', 'text_encoder', 'vae_decoder', 'vae_encoder']);
    expect(components[0]!.inputs.map((p) => p.name)).toContain('encoder_hidden_states');
    expect(dryStep).toMatchObject({ finite: true });
    expect(dryStep!.width).toBe(dryStep!.dims[2]! * 2);
  });

  test('a person reads the answer first, then the fix', async () => {
    const spoilt = tinyFolder('sd1').write(join(models, 'spoilt'));
    rmSync(join(spoilt, 'vae_decoder'), { recursive: true });
    writeFileSync(
      join(spoilt, 'model_index.json'),
      '{"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]}',
    );
    const run = await runCli('models', 'inspect', spoilt);
    expect(run.code).toBe(2);
    expect(run.out.split('\n')[0]).toMatch(/^spoilt: Cannot run: .*vae_decoder/);
    expect(run.out).toMatch(/Copy the whole folder/);
  });

  test('weights that no number survives are found by the dry step', async () => {
    const spoilt = tinyFolder('sd1').write(join(models, 'not-finite'));
    const path = join(spoilt, 'unet', 'model.onnx');
    const graph = readModel(path);
    for (const t of graph.graph.initializers.values()) {
      if (t.dtype === 'float32' && !isExternal(t)) (t.data as Float32Array).fill(Number.NaN);
    }
    writeModel(graph, path);
    const run = await runCli('models', 'inspect', spoilt, '--dry-step');
    expect(run.code).toBe(2);
    expect(run.out).toMatch(/NOT every number is finite/);
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
  const report = {
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
  };
  const text = describeModel(report);
  expect(text).toContain('32 × 32, predicts epsilon');
  // Models of sequences have no size in pixels.
  expect(describeModel({ ...report, width: 0, height: 0 })).toContain('\n  predicts epsilon');
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
