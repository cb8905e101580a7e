import { expect, test } from 'vitest';
import { tokenWords, unreadWords } from '#renderer/logic/token-count.ts';

const count = (tokens: number, chunks = 1, unread = '') => ({ tokens, room: 75, chunks, unread });

test('a prompt says how full it is, a long one in how many chunks, several only the longest', () => {
  expect(tokenWords([count(34)])).toBe('34 of 75 tokens');
  expect(tokenWords([count(101, 2)])).toBe('101 tokens in 2 chunks');
  expect(tokenWords([count(34), count(101, 2), count(2)])).toBe('3 prompts, longest 101 tokens in 2 chunks');
});

test('a model without text, or one that has not answered, leaves the number of prompts', () => {
  expect(tokenWords([null])).toBe('');
  expect(tokenWords([null, null])).toBe('2 prompts');
  expect(tokenWords([])).toBe('');
});

test('what is not read is said in its own words, for many prompts in a number', () => {
  expect(unreadWords([count(75)])).toBeNull();
  expect(unreadWords([count(75, 1, 'in soft light'), null])).toBe(
    'The model does not read the last 3 words: in soft light',
  );
  expect(unreadWords([count(75, 1, 'word '.repeat(500).trim())])).toMatch(/^.{1,60}the last 500 words: (word ){24}…$/);
  expect(unreadWords([count(75, 1, 'a'), count(75, 1, 'b')])).toMatch(/the ends of 2 prompts/);
});
