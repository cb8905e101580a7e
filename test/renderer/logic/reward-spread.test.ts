import { fc, test as property } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { spreadOf } from '#renderer/logic/reward-spread.ts';

const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1, maxLength: 50 });
const sum = (shares: readonly number[]) => shares.reduce((a, b) => a + b, 0);

property.prop([values, values])('shares of values and of plain samples each add up to all', (own, plain) => {
  const spread = spreadOf(own, plain)!;
  expect(sum(spread.own)).toBeCloseTo(1, 9);
  expect(sum(spread.plain)).toBeCloseTo(1, 9);
  expect([spread.from, spread.to]).toEqual([Math.min(...own, ...plain), Math.max(...own, ...plain)]);
});

test('one value alone shows nothing; without plain samples there are none', () => {
  expect(spreadOf([1], [])).toBeNull();
  expect(spreadOf([], [1, 2])).toBeNull();
  expect(sum(spreadOf([1, 2], [])!.plain)).toBe(0);
});
