import { beforeEach, expect, test } from 'vitest';
import type { Model } from '#pipelines/engine/contract.ts';
import { newSteering } from '#renderer/logic/steering.ts';
import {
  edit,
  followModel,
  formProblems,
  generateInput,
  readsNegative,
  schedulersOf,
  useGenerate,
} from '#renderer/panels/generate/generate-store.ts';

type Sampling = NonNullable<Model['sampling']>;
const form = () => useGenerate.getState().form;

const classic: Sampling = {
  defaults: { steps: 30, guidanceScale: 7.5, scheduler: 'pndm', eta: 1 },
  samplers: ['ddim', 'ddpm', 'pndm', 'euler'],
  guidance: 'classifier-free',
  freeSize: true,
  sizeMultiple: 8,
  startsFromPictures: true,
  clipSkips: 1,
};
const flow: Sampling = {
  ...classic,
  defaults: { steps: 28, guidanceScale: 3.5, scheduler: 'flow-match-euler', eta: 0.7 },
  samplers: ['flow-match-euler', 'flow-match-sde', 'flow-match-dance', 'flow-match-cps'],
  guidance: 'embedded',
};
const turbo: Sampling = {
  ...classic,
  defaults: { steps: 1, guidanceScale: 0, scheduler: 'euler', eta: 1 },
  guidance: 'distilled',
  freeSize: false,
  startsFromPictures: false,
  clipSkips: 1,
};

beforeEach(() => {
  useGenerate.setState({ modelId: null, changes: {} });
  edit({ prompts: 'x', seed: 1, count: 1, start: null, steering: null, negativePrompt: 'grey' });
});

test('a model brings what suits it, and what a person changed comes back with its model', () => {
  followModel({ id: 'classic', sampling: classic });
  expect(form()).toMatchObject({ steps: 30, guidanceScale: 7.5, keepTrajectories: true, width: null });
  edit({ steps: 50, width: 768 });
  followModel({ id: 'turbo', sampling: turbo });
  expect(form()).toMatchObject({ steps: 1, guidanceScale: 0, keepTrajectories: false, width: null, prompts: 'x' });
  followModel({ id: 'classic', sampling: classic });
  expect(form()).toMatchObject({ steps: 50, guidanceScale: 7.5, width: 768 });
});

test('the scheduler is the model’s own, unless what is kept or steered needs another', () => {
  for (const [sampling, kept] of [
    [classic, 'ddim'],
    [flow, 'flow-match-sde'],
  ] as const) {
    followModel({ id: sampling.guidance, sampling });
    edit({ keepTrajectories: false });
    expect(schedulersOf(form(), sampling).used?.value).toBe(sampling.defaults.scheduler);
    edit({ keepTrajectories: true });
    expect(generateInput(form(), 'm', null, sampling)?.scheduler).toBe(kept);
    edit({ keepTrajectories: false, steering: newSteering('warmth', 'smc') });
    expect(schedulersOf(form(), sampling).used?.value).toBe(kept);
    edit({ steering: null });
  }
});

test('only a model that reads what to avoid is told', () => {
  followModel({ id: 'turbo', sampling: turbo });
  expect(readsNegative(form(), turbo)).toBe(false);
  expect(generateInput(form(), 'm', null, turbo)?.negativePrompt).toBe('');
  edit({ guidanceScale: 2 });
  expect(generateInput(form(), 'm', null, turbo)?.negativePrompt).toBe('grey');
  expect(generateInput(form(), 'm', null, flow)?.negativePrompt).toBe('');
});

test('sizes go along where they are free, as multiples of the model’s own', () => {
  followModel({ id: 'classic', sampling: classic });
  edit({ width: 100 });
  expect(formProblems(form(), classic).width).toMatch(/multiple of 8/);
  edit({ width: 104 });
  expect(generateInput(form(), 'm', null, classic)).toMatchObject({ width: 104, height: null });
  expect(generateInput(form(), 'm', null, { ...classic, freeSize: false })).not.toHaveProperty('width');
});

test('a model without an encoder does not start from a picture', () => {
  edit({ start: { hash: 'a'.repeat(64), prompt: '' }, steps: 10 });
  expect(formProblems(form(), turbo).start).toMatch(/no encoder/);
  expect(formProblems(form(), classic).start).toBeUndefined();
});

test('steering keeps no trajectory, and needs noise', () => {
  edit({ keepTrajectories: true, eta: 1, scheduler: 'ddim' });
  edit({ steering: { ...newSteering('warmth', 'svdd-pm'), options: { candidates: 4 } } });
  const input = generateInput(form(), 'm', null);
  expect(input).toMatchObject({ keepTrajectories: false, steering: { options: { candidates: 4 } } });
  edit({ eta: 0 });
  expect(formProblems(form()).eta).toMatch(/noise/);
});

test('a clip skip is asked for only where the model has such layers, and is not beyond them', () => {
  const skips = { ...classic, clipSkips: 12 };
  followModel({ id: 'skips', sampling: skips });
  expect(generateInput(form(), 'm', null, skips)?.clipSkip).toBe(1);
  edit({ clipSkip: 2 });
  expect(generateInput(form(), 'm', null, skips)?.clipSkip).toBe(2);
  expect(generateInput(form(), 'm', null, classic)?.clipSkip).toBe(1);
  edit({ clipSkip: 13 });
  expect(formProblems(form(), skips).clipSkip).toMatch(/1 to 12/);
  expect(generateInput(form(), 'm', null, skips)).toBeNull();
  expect(formProblems(form(), classic).clipSkip).toBeUndefined();
});
