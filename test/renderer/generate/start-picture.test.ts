import { expect, test } from 'vitest';
import { edit, formProblems, generateInput, startFrom, useGenerate } from '#renderer/panels/generate/generate-store.ts';

const form = () => useGenerate.getState().form;
const picture = { hash: 'a'.repeat(64), prompt: 'a red tulip' };

test('a start picture brings its prompt along only where there is none, and goes into the call', () => {
  edit({ prompts: '', start: null });
  expect(generateInput({ ...form(), prompts: 'x' }, 'm', null)).not.toHaveProperty('initImage');
  startFrom(picture);
  expect(form().prompts).toBe('a red tulip');
  edit({ prompts: 'a blue daisy', strength: 0.4 });
  startFrom(picture);
  expect(form().prompts).toBe('a blue daisy');
  expect(generateInput(form(), 'm', null)).toMatchObject({ initImage: picture.hash, strength: 0.4 });
});

test('a strength that leaves no step is a problem, and only where there is a picture', () => {
  startFrom(picture);
  edit({ steps: 10, strength: 0.09 });
  expect(formProblems(form()).strength).toMatch(/No step is left/);
  expect(generateInput({ ...form(), prompts: 'x' }, 'm', null)).toBeNull();
  edit({ strength: 0.1 });
  expect(formProblems(form()).strength).toBeUndefined();
  edit({ strength: null });
  expect(formProblems(form()).strength).toBeDefined();
  edit({ start: null });
  expect(formProblems(form()).strength).toBeUndefined();
});
