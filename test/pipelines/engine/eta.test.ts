import { expect, test } from 'vitest';
import { createEta } from '#pipelines/engine/eta.ts';

test('at a constant rate the time left is exact, from the second report on', () => {
  const eta = createEta();
  expect(eta(0, 100, 10)).toBeNull();
  for (let done = 1; done <= 100; done++) expect(eta(done, 100, 10 + 2 * done)).toBeCloseTo(2 * (100 - done), 9);
});

test('one slow step moves it a little, a lasting change moves it all the way', () => {
  const eta = createEta();
  for (let done = 0; done <= 50; done++) eta(done, 1000, done);
  const before = eta(50, 1000, 50)!;
  const after = eta(51, 1000, 55)!;
  expect(after / before).toBeLessThan(2);
  let last = after;
  for (let n = 0; n < 40; n++) last = eta(52 + n, 1000, 55 + 5 * (n + 1))!;
  expect(last).toBeCloseTo(5 * (1000 - 91), -2);
});

test('while a step takes long the time left runs down, never below zero; what a resumed job already has is no rate', () => {
  const eta = createEta();
  // A resumed job: 60 of 100 at once, then one per second.
  expect(eta(60, 100, 0)).toBeNull();
  expect(eta(61, 100, 1)).toBeCloseTo(39, 9);
  expect(eta(61, 100, 11)).toBeCloseTo(29, 9);
  expect(eta(61, 100, 1000)).toBe(0);
});
