import { expect, test } from 'vitest';
import { BRANCHING_SAMPLERS, ETA_SAMPLERS, LEARNABLE_SAMPLERS, SAMPLERS } from '#pipelines/schedulers/names.ts';
import { SCHEDULERS } from '#renderer/panels/generate/schedulers.ts';

const names = (which: (s: (typeof SCHEDULERS)[number]) => boolean) =>
  SCHEDULERS.filter(which)
    .map((s) => s.value)
    .sort();

test('the window offers every sampler, and knows of each what the engine knows', () => {
  expect(names(() => true)).toEqual([...SAMPLERS].sort());
  expect(names((s) => s.learnable)).toEqual([...LEARNABLE_SAMPLERS].sort());
  expect(names((s) => s.branching)).toEqual([...BRANCHING_SAMPLERS].sort());
  expect(names((s) => s.eta)).toEqual([...ETA_SAMPLERS].sort());
});
