import { expect, test } from 'vitest';
import { LEARNABLE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { SCHEDULERS } from '#renderer/panels/generate/schedulers.ts';

test('the window lets tuning learn from the samplers that have log-probabilities, and offers all of those', () => {
  expect(SCHEDULERS.filter((s) => s.learnable).map((s) => s.value)).toEqual(LEARNABLE_SAMPLERS);
});
