import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import type { TrialGraph } from '#models/runtime/graph-trial.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { readRunProvider, trainingProvider } from '#pipelines/finetune/training-provider.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-training-provider-'));
afterAll(() => rmSync(folder, { recursive: true }));

const stages: string[] = [];
const taskOf = (provider?: 'auto' | 'cpu' | 'webgpu') => ({
  runDirectory: folder,
  provider,
  progress: (stage: string) => void stages.push(stage),
});
const probe = async (): Promise<TrialGraph> => {
  const op = createBuilder();
  const x = op.input('x', 'float32', [2, 2]);
  op.output(op.matmul(x, x), 'y');
  return { bytes: encodeModel(op.toModel('square')), feeds: { x: f32([2, 2], [1, 2, 3, 4]) }, training: true };
};
const never = (): Promise<TrialGraph> => {
  throw new Error('There was nothing to try.');
};
// A provider that no single system has both of: it is refused everywhere.
const absent = process.platform === 'darwin' ? ('dml' as const) : ('coreml' as const);

test('a run that asks for nothing, or for the CPU, tries and records nothing', async () => {
  expect(await trainingProvider(taskOf(), never)).toBe('cpu');
  expect(await trainingProvider(taskOf('cpu'), never)).toBe('cpu');
  expect(readRunProvider(folder)).toBeNull();
  expect(existsSync(join(folder, 'provider.json'))).toBe(false);
});

test('auto tries the graph itself, and the run remembers the choice, its reason and what spoke against the others', async () => {
  const options = { cacheFolder: null, candidates: ['cpu', absent] as const };
  expect(await trainingProvider(taskOf('auto'), probe, options)).toBe('cpu');
  expect(stages).toEqual(['trying what can run the training graph']);
  const kept = readRunProvider(folder)!;
  expect(kept).toMatchObject({ provider: 'cpu', because: 'Nothing else can run this graph here.', agreement: 0 });
  expect(kept.others).toEqual([{ provider: absent, why: expect.stringMatching(/./) }]);
});

test('a run goes on on what it was started on, and on nothing else', async () => {
  expect(await trainingProvider(taskOf('auto'), never)).toBe('cpu');
  await expect(trainingProvider(taskOf('webgpu'), never)).rejects.toMatchObject({
    code: 'run/other-provider',
    message: expect.stringContaining('started on cpu and cannot go on on webgpu'),
  });
});
