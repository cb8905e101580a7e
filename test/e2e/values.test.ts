import { expect, test } from 'vitest';
import { LONG, openSession } from './support/session.ts';

/** A value network is asked for where it is needed. SCREENSHOTS=folder keeps pictures. */

const { id, shoot } = openSession('values');

test('SVDD-MC says that it needs a network, what one costs, and trains it until it is stopped', {
  timeout: LONG,
}, async () => {
  await id('prompts').fill('a red tulip in a vase on a cream background');
  await id('steps').fill('4');
  await id('steer-by').selectOption('warmth');
  await id('steer-method').selectOption('svdd-mc');
  await id('values-none').waitFor();
  // Four steps, and three more candidates at three of them.
  expect(await id('values-cost').textContent()).toMatch(/^Makes 128 pictures to learn from \(up to 1,664 runs /);
  await id('values-cost').scrollIntoViewIfNeeded();
  await shoot('values-none');
  await id('values-train').click();
  await expect.poll(() => id('values-progress').textContent(), { timeout: LONG }).toMatch(/sample \d+ of 128 to learn/);
  await shoot('values-training');
  await id('values-cancel').click();
  await id('values-train').waitFor({ timeout: LONG });
});
