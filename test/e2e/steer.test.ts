import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { LONG, openSession } from './support/session.ts';

/** A reward steers pictures in the window, and the form follows the model in hand. SCREENSHOTS=folder keeps pictures. */

const session = openSession('steer');
const { id, shoot, folder } = session;

test('a reward steers: the cost is told before, the chart while it runs, the reward on each picture after', {
  timeout: LONG,
}, async () => {
  await id('prompts').fill('a red tulip in a vase on a cream background');
  await id('count').fill('2');
  await id('steps').fill('4');
  await id('steer-by').selectOption('warmth');
  await id('steer-method').selectOption('svdd-pm');
  await id('field-candidates').fill('3');
  expect(await id('keep-trajectories').count()).toBe(0);
  await id('steer-cost').waitFor();
  await expect
    .poll(() => id('steer-cost').textContent())
    .toMatch(/2\.5× the work: 20 runs .* place of 8.* 20 pictures/);
  await id('steer-cost').scrollIntoViewIfNeeded();
  await shoot('steer-form');
  await id('generate-start').click();
  await id('steer-chart').waitFor({ timeout: LONG });
  await shoot('steer-running');
  await expect.poll(() => id('tile-score').count(), { timeout: LONG }).toBe(2);
  expect(await id('tile-score').first().textContent()).toMatch(/^warmth −?-?[\d.]+$/);
  await shoot('steer-done');
});

test('two rewards: the keyboard adds one, plain pictures put them on one scale, and each has a column and a chart', {
  timeout: LONG,
}, async () => {
  const { page } = session.window;
  expect(await id('steer-teach').textContent()).toMatch(/^Warmth alone .* at the price of all else/);
  await id('steer-add').focus();
  await page.keyboard.press('Enter');
  await expect.poll(() => page.evaluate(() => document.activeElement?.getAttribute('data-testid'))).toBe('steer-by-2');
  await id('steer-by-2').selectOption('contrast');
  await id('steer-weight-2').fill('0.5');
  await id('steer-combine').selectOption('krc');
  await id('bank-calibration').waitFor();
  expect(await id('bank-calibration').textContent()).toMatch(/begins with 64 plain pictures .*\(256 runs/);
  await shoot('steer-several', 'steer-combine');
  await id('generate-start').click();
  await expect.poll(() => id('generate-progress').textContent()).toMatch(/of 64, to put the rewards on one scale/);
  await shoot('steer-calibrating');
  await expect.poll(() => id('tile-score').count(), { timeout: LONG }).toBe(6);
  expect(await id('tile-score').allTextContents()).toEqual(
    expect.arrayContaining(['contrast', 'warmth', 'Together (krc)'].map((name) => expect.stringContaining(name))),
  );
  await expect.poll(() => id('reward-chart').count()).toBe(3);
  await expect.poll(() => id('reward-chart').first().textContent()).toMatch(/Contrast.* on average, plain /);
  await id('result-order').selectOption('warmth');
  const warmth = async () =>
    (await id('tile-score').allTextContents())
      .filter((text) => text.startsWith('warmth'))
      .map((text) => Number(text.replace('−', '-').replace(/^warmth /, '')));
  const shown = await warmth();
  expect(shown).toEqual([...shown].sort((a, b) => b - a));
  await shoot('steer-several-done');
  await page.reload();
  await id('steer-by-2').waitFor();
  expect([await id('steer-by-2').inputValue(), await id('steer-weight-2').inputValue()]).toEqual(['contrast', '0.5']);
  await id('steer-remove-2').click();
  expect(await id('steer-weight-1').count()).toBe(0);
});

test('a picture of the gallery becomes the start, and steering makes way for it', { timeout: LONG }, async () => {
  await id('rail-gallery').click();
  await id('gallery-tile').first().waitFor();
  await session.window.page.keyboard.press('u');
  await id('start-picture').waitFor();
  expect(await id('steer-by').inputValue()).toBe('');
  await shoot('steer-start-picture');
  await id('start-remove').click();
});

test('the form follows the model in hand, and finds again what was changed for it', { timeout: LONG }, async () => {
  const flux = tinyFolder('flux-dev').write(join(folder, 'flux'));
  await id('rail-models').click();
  await id('model-path').fill(flux);
  await id('model-add').click();
  await expect.poll(() => id('model').count()).toBe(2);
  await id('rail-generate').click();
  await id('model-select').selectOption({ label: 'flux' });
  await expect.poll(() => id('steps').inputValue()).not.toBe('4');
  expect(await id('width').count()).toBe(1);
  expect(await id('negative-prompt').count()).toBe(0);
  await shoot('steer-flux');
  const { page } = session.window;
  await page.reload();
  await expect.poll(() => id('model-select').locator('option:checked').textContent()).toBe('flux');
  await id('model-select').selectOption({ label: 'Flora' });
  await expect.poll(() => id('steps').inputValue()).toBe('4');
  expect(session.window.complaints).toEqual([]);
});

test('a batch is stopped where it is shown, and in a narrow window what starts it stays in reach', {
  timeout: LONG,
}, async () => {
  const { page } = session.window;
  await page.setViewportSize({ width: 420, height: 800 });
  await id('steps').fill('40');
  expect(await id('generate-start').evaluate((button) => button.getBoundingClientRect().bottom)).toBeLessThan(800);
  await id('generate-start').click();
  await id('preview').first().waitFor({ timeout: LONG });
  await shoot('narrow-running');
  await page.keyboard.press('Shift+X');
  await id('generate-cancelled').waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(420);
  expect(session.window.complaints).toEqual([]);
});
