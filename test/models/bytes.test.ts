import { expect, test } from 'vitest';
import { concatBytes, plainBytes } from '#models/bytes.ts';

test('concatenated bytes are in order and own their memory', () => {
  const joined = concatBytes([Uint8Array.of(1, 2), new Uint8Array(), Buffer.from([3])]);
  expect([...joined]).toEqual([1, 2, 3]);
  expect(joined.buffer.byteLength).toBe(3);
});

test('plain bytes share memory with their source, and their slices do not', () => {
  const source = Buffer.from([1, 2, 3]);
  const plain = plainBytes(source);
  const slice = plain.slice();
  source[0] = 9;
  expect([plain[0], slice[0]]).toEqual([9, 1]);
});
