import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { between, GRID_GAP, gridShape, itemsInSight, moveInGrid, scrollToShow } from '#renderer/logic/grid.ts';

const width = fc.integer({ min: 80, max: 4000 });
const side = fc.integer({ min: 40, max: 400 });
const count = fc.integer({ min: 1, max: 100_000 });
const height = fc.integer({ min: 100, max: 2000 });

const KEYS = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'PageUp', 'PageDown', 'Home', 'End'];

describe('a grid', () => {
  test.prop([width, side])('fills its width with squares no smaller than asked for, where one fits', (w, s) => {
    const { columns, side: got } = gridShape(w, s);
    const used = columns * got + (columns - 1) * GRID_GAP;
    expect(used).toBeLessThanOrEqual(w);
    expect(w - used).toBeLessThan(columns);
    if (s <= w) expect(got).toBeGreaterThanOrEqual(s);
  });

  test.prop([width, side, count, height, fc.nat(), fc.nat(3)])(
    'has every item in sight, and few others',
    (w, s, n, h, offset, spare) => {
      const shape = gridShape(w, s);
      const all = Math.ceil(n / shape.columns) * shape.pitch;
      const top = offset % Math.max(1, all - h);
      const [from, to] = itemsInSight(shape, top, h, n, spare);
      const rowTop = (i: number) => Math.floor(i / shape.columns) * shape.pitch;
      const inSight = (i: number) => rowTop(i) < top + h && rowTop(i) + shape.side > top;
      if (from > 0) expect(inSight(from - 1)).toBe(false);
      if (to < n) expect(inSight(to)).toBe(false);
      expect(to - from).toBeLessThanOrEqual((Math.ceil(h / shape.pitch) + 1 + 2 * spare) * shape.columns);
    },
  );

  test.prop([width, side, count, height, fc.nat(), fc.nat()])(
    'scrolls as little as it must to show an item whole',
    (w, s, n, h, pick, offset) => {
      const shape = gridShape(w, s);
      fc.pre(shape.side <= h);
      const index = pick % n;
      const before = offset % (shape.pitch * Math.ceil(n / shape.columns));
      const after = scrollToShow(shape, index, before, h);
      const top = Math.floor(index / shape.columns) * shape.pitch;
      expect(top).toBeGreaterThanOrEqual(after);
      expect(top + shape.side).toBeLessThanOrEqual(after + h);
      if (top >= before && top + shape.side <= before + h) expect(after).toBe(before);
    },
  );

  test.prop([
    fc.constantFrom(...KEYS),
    fc.nat(),
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 1, max: 9 }),
    count,
  ])('is never left by a key; arrows up and down keep to their column or stay', (key, pick, columns, rows, n) => {
    const index = pick % n;
    const to = moveInGrid(index, key, columns, rows, n);
    expect(to).toBeGreaterThanOrEqual(0);
    expect(to).toBeLessThan(n);
    if (key === 'ArrowUp') expect([index, index - columns]).toContain(to);
    if (key === 'ArrowDown') expect([index, index + columns, n - 1]).toContain(to);
  });

  test('leads from the row before the last to the last picture where its place is empty', () => {
    expect(moveInGrid(4, 'ArrowDown', 5, 3, 7)).toBe(6);
    expect(moveInGrid(5, 'ArrowDown', 5, 3, 7)).toBe(5);
    expect(moveInGrid(2, 'ArrowUp', 5, 3, 7)).toBe(2);
  });

  test('has the same items between two places whichever is first', () => {
    expect(between('abcdef'.split(''), 4, 1)).toEqual(between('abcdef'.split(''), 1, 4));
  });
});
