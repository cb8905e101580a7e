import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { editDistance, nearest, suggestion } from '#models/nearest.ts';

const word = fc.string({ unit: fc.constantFrom(...'abc-'), maxLength: 7 });

/** The recursive definition, written independently of the table. */
function byDefinition(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  const [x, y] = [a.slice(0, -1), b.slice(0, -1)];
  let best = Math.min(
    byDefinition(x, b) + 1,
    byDefinition(a, y) + 1,
    byDefinition(x, y) + (a.at(-1) === b.at(-1) ? 0 : 1),
  );
  if (a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1)) {
    best = Math.min(best, byDefinition(a.slice(0, -2), b.slice(0, -2)) + 1);
  }
  return best;
}

describe('edit distance', () => {
  test.each([
    ['kitten', 'sitting', 3],
    ['sampel', 'sample', 1],
    ['', 'abc', 3],
    ['ca', 'abc', 3],
    ['steps', 'steps', 0],
  ])('%s → %s is %d, as published', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
  });

  test.prop([
    fc.string({ unit: fc.constantFrom(...'ab'), maxLength: 5 }),
    fc.string({ unit: fc.constantFrom(...'ab'), maxLength: 5 }),
  ])('equals its recursive definition', (a, b) => {
    expect(editDistance(a, b)).toBe(byDefinition(a, b));
  });

  test.prop([word, word])('is symmetric, and zero only for equal words', (a, b) => {
    expect(editDistance(a, b)).toBe(editDistance(b, a));
    expect(editDistance(a, b) === 0).toBe(a === b);
  });
});

describe('suggestions', () => {
  test('name the nearest known word', () => {
    expect(suggestion('guidence', ['guidance', 'steps', 'count'], '--')).toBe('Did you mean --guidance?');
  });
  test('list what is known when nothing is close', () => {
    expect(nearest('xyzzy', ['guidance', 'steps'])).toBeUndefined();
    expect(suggestion('xyzzy', ['guidance', 'steps'])).toBe('Known: guidance, steps.');
  });
});
