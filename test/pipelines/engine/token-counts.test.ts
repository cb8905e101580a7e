import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { askTokenCounts } from '#pipelines/engine/token-counter.ts';
import { tokenCounts } from '#pipelines/engine/token-counts.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-counts-'));
const folder = writeTinyModel(join(root, 'model'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('a model with a fixed number of tokens says how many words of each prompt it reads, and which not', () => {
  const [short, empty, long] = tokenCounts(folder, ['a (red:1.2) tulip', '', `${'red '.repeat(40)}white lily`]);
  expect(short).toMatchObject({ tokens: 3, chunks: 1, unread: '' });
  expect(empty).toMatchObject({ tokens: 0, chunks: 1, unread: '' });
  expect(long!.tokens).toBe(short!.room);
  expect(long!.unread).toBe(`${'red '.repeat(40 - short!.room)}white lily`);
});

test('a folder that is no model is a named error', () => {
  expect(() => tokenCounts(join(folder, 'nowhere'), ['a'])).toThrow(
    expect.objectContaining({ code: 'model/no-folder' }),
  );
});

test('asked in a thread of its own it says the same, and errors keep their names', async () => {
  const prompts = ['a (red:1.2) tulip', ''];
  expect(await askTokenCounts(folder, prompts)).toEqual(tokenCounts(folder, prompts));
  await expect(askTokenCounts(join(folder, 'nowhere'), ['a'])).rejects.toMatchObject({ code: 'model/no-folder' });
});

test('a pattern that backtracks without end holds up nobody but who asks about the same', async () => {
  const hostile = join(root, 'hostile');
  cpSync(folder, hostile, { recursive: true });
  const path = join(hostile, 'tokenizer', 'tokenizer.json');
  const pre_tokenizer = { type: 'Split', pattern: { Regex: '(?:a|a)*(?!a|b)c' }, behavior: 'Isolated', invert: false };
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), pre_tokenizer }));
  let turns = 0;
  const timer = setInterval(() => turns++, 10);
  await expect(askTokenCounts(hostile, [`${'a'.repeat(60)}b`])).rejects.toMatchObject({ code: 'tokenizer/too-slow' });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(20);
  expect(await askTokenCounts(folder, ['a tulip'])).toHaveLength(1);
});
