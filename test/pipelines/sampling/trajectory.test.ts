import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import {
  readTrajectory,
  type Trajectory,
  type TrajectoryMetadata,
  writeTrajectory,
} from '#pipelines/sampling/trajectory.ts';
import { createGaussianSchedule, parseSchedulerConfig } from '#pipelines/schedulers/index.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trajectory-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const schedulerConfig = parseSchedulerConfig({ clip_sample: false, steps_offset: 1, note: 'kept' });
const { steps } = createGaussianSchedule(schedulerConfig, { steps: 3, eta: 1, finalAlphaCumprod: 'keep-noise' });
const trajectory: Trajectory = {
  dims: [2, 1, 1],
  states: Float32Array.from({ length: 8 }, (_, i) => Math.sin(i)),
  logProbs: Float32Array.of(0.1, -0.2, 1.5),
  steps,
};
const origin: TrajectoryMetadata = {
  seed: 3,
  index: 4,
  noiseIndex: 0,
  prompt: 'a red tulip, “tall”',
  negativePrompt: '',
  guidanceScale: 3,
  scheduler: 'ddim',
  eta: 1,
  predictionType: 'epsilon',
  modelHash: 'ab'.repeat(32),
  adapterHash: null,
  schedulerConfig,
};

test('a trajectory and its origin come back exactly as written', () => {
  const path = join(folder, 'one.safetensors');
  writeTrajectory(path, trajectory, origin);
  expect(readTrajectory(path)).toEqual({ trajectory, origin });
  expect(readSafetensors(path).tensors.get('states')!.dims).toEqual([4, 2, 1, 1]);
});

test('a file that is no trajectory, or only part of one, is refused by name', () => {
  const path = join(folder, 'other.safetensors');
  writeSafetensors(path, new Map());
  expect(() => readTrajectory(path)).toThrow(expect.objectContaining({ code: 'trajectory/format' }));

  writeTrajectory(path, trajectory, origin);
  const whole = readSafetensors(path);
  for (const name of whole.tensors.keys()) {
    writeSafetensors(path, new Map([...whole.tensors].filter(([key]) => key !== name)), whole.metadata);
    expect(() => readTrajectory(path)).toThrow(name);
  }
  writeTrajectory(
    path,
    {
      ...trajectory,
      logProbs: trajectory.logProbs.slice(1),
      steps: steps.slice(1),
      states: trajectory.states.slice(2),
    },
    origin,
  );
  const shorter = readSafetensors(path);
  writeSafetensors(path, new Map([...shorter.tensors, ['states', whole.tensors.get('states')!]]), whole.metadata);
  expect(() => readTrajectory(path)).toThrow(/number of steps/);
  writeSafetensors(
    path,
    whole.tensors,
    new Map([
      ['format', whole.metadata.get('format')!],
      ['origin', '{"seed":'],
    ]),
  );
  expect(() => readTrajectory(path)).toThrow(/origin/);
  writeFileSync(path, 'not safetensors');
  expect(() => readTrajectory(path)).toThrow();
});
