import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWindow, type Window } from './support/browser.ts';
import { buildWindow, type Serving, serve } from './support/serve.ts';

/** Writing a prompt in a real browser. SCREENSHOTS=folder keeps pictures of what was seen. */

const LONG = 300_000;
const folder = mkdtempSync(join(tmpdir(), 'northlight-prompt-'));
const shots = process.env.SCREENSHOTS;
let window: Window;
let serving: Serving;

beforeAll(async () => {
  buildWindow();
  serving = await serve(join(folder, 'project'));
  window = await openWindow();
  await window.page.goto(serving.url);
}, LONG);

afterAll(async () => {
  await window?.close();
  await serving?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, LONG);

const prompts = () => window.page.getByTestId('prompts');
const beside = () => prompts().locator('xpath=..').textContent();

async function shoot(name: string): Promise<void> {
  if (shots === undefined) return;
  mkdirSync(shots, { recursive: true });
  await window.page.screenshot({ path: join(shots, `${name}.png`) });
}

test('the window says how many tokens of a prompt the model reads, and which words it does not', {
  timeout: LONG,
}, async () => {
  await prompts().fill('a (red:1.2) tulip');
  await expect.poll(beside, { timeout: 20_000 }).toContain('3 of 24 tokens');
  await shoot('1-tokens');
  await prompts().fill(`${'red '.repeat(24)}white lily`);
  await expect.poll(beside, { timeout: 20_000 }).toContain('24 of 24 tokens');
  await expect.poll(beside, { timeout: 20_000 }).toContain('The model does not read the last 2 words: white lily');
  await shoot('2-unread');
  await prompts().fill('a red tulip\na white lily in a vase');
  await expect.poll(beside, { timeout: 20_000 }).toContain('2 prompts, longest 6 of 24 tokens');
});

test('Ctrl+Up and Ctrl+Down change the weight of the word at the cursor, and Ctrl+Z takes it back', {
  timeout: LONG,
}, async () => {
  const { keyboard } = window.page;
  await prompts().fill('a red tulip');
  await prompts().evaluate((field: HTMLTextAreaElement) => field.setSelectionRange(4, 4));
  await keyboard.press('Control+ArrowUp');
  await keyboard.press('Control+ArrowUp');
  expect(await prompts().inputValue()).toBe('a (red:1.2) tulip');
  await expect.poll(beside, { timeout: 20_000 }).toContain('3 of 24 tokens');
  await keyboard.press('Control+z');
  expect(await prompts().inputValue()).toBe('a (red:1.1) tulip');
  await prompts().evaluate((field: HTMLTextAreaElement) => field.setSelectionRange(4, 4));
  await keyboard.press('Control+ArrowDown');
  await keyboard.press('Control+ArrowDown');
  expect(await prompts().inputValue()).toBe('a (red:0.9) tulip');
  expect(window.complaints).toEqual([]);
});
