import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { tokenCounts } from '#pipelines/engine/token-counts.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-counts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a model with a fixed number of tokens says how many words of each prompt it reads, and which not', () => {
  writeTinyModel(folder);
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
