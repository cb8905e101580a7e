import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { lineageOf } from '#renderer/logic/lineage.ts';
import { treeRows } from '#renderer/logic/tree-layout.ts';

test('the way of the best leads back from parent to parent', () => {
  const steps = [
    { values: [1, 2, 3], survivors: [1], parents: [null, null, null] },
    { values: [4, 5], survivors: [0, 1], parents: [1, 1] },
    { values: [6, 9, 7], survivors: [0, 1], parents: [1, 0, 1] },
  ];
  expect(lineageOf(steps)).toEqual([1, 0, 1]);
  expect(lineageOf(steps, 6)).toEqual([1, 1, 0]);
  expect(lineageOf([])).toEqual([]);
});

test('where a parent was not told, the way begins later', () => {
  const steps = [
    { values: [1], survivors: [0], parents: [null] },
    { values: [2], survivors: [0], parents: [null] },
  ];
  expect(lineageOf(steps)).toEqual([null, 0]);
});

test('the way of the best of several that were not scored before the end is that of its own', () => {
  const own = { values: [null, null, null], survivors: [0, 1, 2], parents: [0, 1, 2] };
  const end = { values: [3, -7, 5], survivors: [2], parents: [0, 1, 2] };
  expect(lineageOf([own, own, end], 5)).toEqual([2, 2, 2]);
  expect(lineageOf([own, own])).toEqual([0, 0]);
});

prop.prop([fc.array(fc.nat(), { maxLength: 40 })])(
  'every leaf of a tree has a row of its own, and a place lies between its first and last child',
  (draws) => {
    const parents = [null, ...draws.map((d, i) => d % (i + 1))];
    const { rows, height } = treeRows(parents);
    const leaves = [...parents.keys()].filter((i) => !parents.includes(i));
    expect(leaves.map((i) => rows[i]!).sort((a, b) => a - b)).toEqual(leaves.map((_, k) => k));
    expect(height).toBe(leaves.length);
    for (const i of parents.keys()) {
      const own = [...parents.keys()].filter((j) => parents[j] === i).map((j) => rows[j]!);
      if (own.length > 0) expect(rows[i]).toBe((Math.min(...own) + Math.max(...own)) / 2);
    }
  },
);
