import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';
import { LONG, openSession } from './support/session.ts';

/** Before a reward steers, plain pictures show what it would do. SCREENSHOTS=folder keeps pictures. */

const session = openSession('bank');
const { id, folder } = session;

const shoot = (name: string) => session.shoot(name, 'bank');

test('plain pictures are made once and show what a strength would do, and what extra work would bring', {
  timeout: LONG,
}, async () => {
  await id('prompts').fill('a red tulip in a vase on a cream background');
  await id('steps').fill('2');
  await id('guidance').fill('1');
  await id('steer-by').selectOption('warmth');
  await id('steer-method').selectOption('svdd-pm');
  await id('bank-empty').waitFor();
  expect(await id('bank-empty').textContent()).toMatch(/64 pictures made without steering.*warmth/);
  await shoot('bank-empty');
  await id('bank-make').click();
  await id('bank-progress').waitFor();
  await shoot('bank-making');
  await id('bank-gain').waitFor({ timeout: LONG });
  expect(await id('bank-gain').textContent()).toMatch(/→ .* on average \(\+/);
  await id('bank-ladder-fold').locator('summary').click();
  expect(await id('bank-ladder').getByRole('row').count()).toBe(6);
  await shoot('bank-found');
  expect(session.window.complaints).toEqual([]);
});

test('too much strength is marked, and one click takes the strength that fits', { timeout: LONG }, async () => {
  await id('steer-strength').fill('12');
  await id('bank-unreliable').waitFor();
  await shoot('bank-unreliable');
  await id('bank-suggested').click();
  await expect.poll(() => id('bank-suggested').count()).toBe(0);
  await expect.poll(() => id('bank-unreliable').count()).toBe(0);
});

test('another reward looks at the same pictures, and what is stopped keeps what was made', {
  timeout: LONG,
}, async () => {
  await id('steer-by').selectOption('contrast');
  await expect.poll(() => id('bank-empty').textContent()).toMatch(/has not looked at the 64 plain pictures/);
  await id('bank-score').click();
  await id('bank-gain').waitFor({ timeout: LONG });
  await expect.poll(() => id('bank-make').textContent()).toBe('Make 192 more plain pictures');
  await id('bank-make').click();
  await id('bank-cancel').click();
  await id('bank-make').waitFor({ timeout: LONG });
  await id('bank-gain').waitFor();
  expect(session.window.complaints).toEqual([]);
});

test('sequences have a bank of their own', { timeout: LONG }, async () => {
  await id('rail-models').click();
  await id('model-path').fill(writeTinyMaskedModel(join(folder, 'enhancers'), { length: 40 }));
  await id('model-add').click();
  await expect.poll(() => id('model').count()).toBeGreaterThan(1);
  await id('rail-generate').click();
  await id('model-select').selectOption({ label: 'enhancers' });
  await id('class-select').selectOption('K562');
  await id('steer-by').selectOption('gc');
  await expect.poll(() => id('bank-empty').textContent()).toMatch(/64 sequences made without steering/);
  await id('bank-make').click();
  // The best of N has no temperature: what is shown is what there is, and what extra work brings.
  await id('bank-ladder-fold').waitFor({ timeout: LONG });
  expect(await id('bank-gain').count()).toBe(0);
  await shoot('bank-sequences');
  expect(session.window.complaints).toEqual([]);
});
