import { expect, test } from 'vitest';
import {
  edit,
  formProblems,
  generateInput,
  keepsNothing,
  startedFrom,
  startFrom,
  useGenerate,
} from '#renderer/panels/generate/generate-store.ts';

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

test('with a mask what tuning needs is not kept; another start picture forgets the mask, and what a sample says brings it back', () => {
  startFrom(picture);
  edit({ prompts: 'x', steps: 10, strength: 1, keepTrajectories: true, eta: 1 });
  expect(generateInput(form(), 'm', null)).toMatchObject({ keepTrajectories: true });
  edit({ mask: { marks: [{ kind: 'invert' }], share: 1 } });
  expect(keepsNothing(form())).toBe('masked');
  expect(generateInput(form(), 'm', null)).toMatchObject({ keepTrajectories: false });
  // Nothing is marked: it is as if there were no mask.
  edit({ mask: { marks: [{ kind: 'clear' }], share: 0 } });
  expect(generateInput(form(), 'm', null)).toMatchObject({ keepTrajectories: true });
  edit({ mask: { marks: [{ kind: 'invert' }], share: 1 } });
  startFrom({ hash: 'b'.repeat(64), prompt: '' });
  expect(form().mask).toBeNull();
  edit(startedFrom({ picture: picture.hash, mask: 'c'.repeat(64), strength: 0.3 }));
  expect(form()).toMatchObject({ start: { hash: picture.hash }, strength: 0.3 });
  expect(form().mask?.marks).toEqual([{ kind: 'picture', hash: 'c'.repeat(64) }]);
  edit(startedFrom(null));
  expect(form()).toMatchObject({ start: null, mask: null });
});
