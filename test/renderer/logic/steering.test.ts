import { fc, test as property } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import {
  dropReward,
  hasRoom,
  nameReward,
  needsScale,
  newSteering,
  raiseReward,
  steeringFrom,
  weighReward,
} from '#renderer/logic/steering.ts';

const of = (...names: string[]) => ({
  ...newSteering('', 'smc'),
  rewards: names.map((reward, k) => ({ reward, weight: k + 1 })),
});
const names = ({ rewards }: ReturnType<typeof of>) => rewards.map(({ reward }) => reward);

test('one reward is followed as it is; several, or one with a cap, are put on one scale', () => {
  expect(needsScale(of('a'))).toBe(false);
  expect(needsScale({ ...of('a'), cap: 0.9 })).toBe(true);
  expect(needsScale(of('a', 'b'))).toBe(true);
});

test('the last reward that is left counts as it is, and with it goes all steering', () => {
  const left = dropReward(of('a', 'b'), 0)!;
  expect(left.rewards).toEqual([{ reward: 'b', weight: 1 }]);
  expect(dropReward(left, 0)).toBeNull();
});

test('a reward that is exchanged keeps its weight, and the others stay as they are', () => {
  expect(nameReward(of('a', 'b', 'c'), 1, 'x').rewards[1]).toEqual({ reward: 'x', weight: 2 });
  expect(names(nameReward(of('a', 'b', 'c'), 1, 'x'))).toEqual(['a', 'x', 'c']);
  expect(weighReward(of('a', 'b'), 1, -0.5).rewards).toEqual([
    { reward: 'a', weight: 1 },
    { reward: 'b', weight: -0.5 },
  ]);
});

test('raised to the front one by one, rewards are in any order that is wanted', () => {
  expect(names(raiseReward(of('a', 'b', 'c'), 2))).toEqual(['a', 'c', 'b']);
  expect(names(raiseReward(of('a', 'b', 'c'), 0))).toEqual(['a', 'b', 'c']);
});

test('what is in order has room for five', () => {
  const five = of('a', 'b', 'c', 'd', 'e');
  expect(hasRoom(five)).toBe(true);
  expect(hasRoom({ ...five, combine: 'lexicographic' })).toBe(false);
});

test('what was remembered comes back as it was', () => {
  const kept = { ...of('a', 'b'), cap: 0.99, combine: 'krc' as const, options: { alpha: 0.1 } };
  expect(steeringFrom(JSON.parse(JSON.stringify(kept)))).toEqual(kept);
});

property.prop([fc.jsonValue()])('and what is none is no steering, whatever it is', (saved) => {
  expect(steeringFrom(saved)).toBeNull();
});

test.each([
  { reward: 'warmth', decoder: 'smc', options: {} },
  { ...of('a'), combine: 'best' },
  { ...of('a'), rewards: [] },
  { ...of('a'), rewards: [{ reward: 'a', weight: 0 }] },
  { ...of('a'), rewards: [null] },
])('nor is what only looks like it: %j', (saved) => {
  expect(steeringFrom(saved)).toBeNull();
});
