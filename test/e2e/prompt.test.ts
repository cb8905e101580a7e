import { expect, test } from 'vitest';
import { LONG, openSession } from './support/session.ts';

/** Writing a prompt in a real browser. SCREENSHOTS=folder keeps pictures of what was seen. */

const session = openSession('prompt');
const { shoot } = session;

const prompts = () => session.window.page.getByTestId('prompts');
const beside = () => prompts().locator('xpath=..').textContent();

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
  const { keyboard } = session.window.page;
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
  expect(session.window.complaints).toEqual([]);
});
