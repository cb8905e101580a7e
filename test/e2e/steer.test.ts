import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { openWindow, type Window } from './support/browser.ts';
import { buildWindow, type Serving, serve } from './support/serve.ts';

/** A reward steers pictures in the window, and the form follows the model in hand. SCREENSHOTS=folder keeps pictures. */

const LONG = 600_000;
const folder = mkdtempSync(join(tmpdir(), 'northlight-steer-'));
const shots = process.env.SCREENSHOTS;

let window: Window;
let serving: Serving;
const id = (name: string) => window.page.getByTestId(name);

async function shoot(name: string): Promise<void> {
  if (shots === undefined) return;
  mkdirSync(shots, { recursive: true });
  await window.page.screenshot({ path: join(shots, `${name}.png`) });
}

beforeAll(async () => {
  buildWindow();
  serving = await serve(join(folder, 'project'));
  window = await openWindow();
  await window.page.goto(serving.url);
  await id('generate-start').waitFor();
}, LONG);

afterAll(async () => {
  await window?.close();
  await serving?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, LONG);

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

test('a picture of the gallery becomes the start, and steering makes way for it', { timeout: LONG }, async () => {
  await id('rail-gallery').click();
  await id('gallery-tile').first().waitFor();
  await window.page.keyboard.press('u');
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
  await id('model-select').selectOption({ label: 'Flora' });
  await expect.poll(() => id('steps').inputValue()).toBe('4');
  expect(window.complaints).toEqual([]);
});
