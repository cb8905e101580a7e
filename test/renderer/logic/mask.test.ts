import { fc, test } from '@fast-check/vitest';
import { expect } from 'vitest';
import { firstBrush, marks, maskFrom, nextBrush, shareWords, usedPart } from '#renderer/logic/mask.ts';

const side = fc.integer({ min: 1, max: 5000 });
const size = fc.record({ width: side, height: side });

test.prop([size, size])(
  'what is used of a picture lies in its middle, has the shape that is made, and touches two of its sides',
  (picture, made) => {
    const { left, top, width, height, scale } = usedPart(picture, made);
    expect(width / height).toBeCloseTo(made.width / made.height, 6);
    expect(width * scale).toBeCloseTo(made.width, 6);
    expect(2 * left + width).toBeCloseTo(picture.width, 6);
    expect(2 * top + height).toBeCloseTo(picture.height, 6);
    expect(Math.min(left, top)).toBeGreaterThanOrEqual(-1e-9);
    expect(Math.abs(Math.min(left, top))).toBeLessThan(1e-6);
  },
);

test.prop([size])(
  'the brush reaches every end in a few dozen presses and stays between one pixel and the picture',
  (picture) => {
    let brush = firstBrush(picture);
    const most = Math.min(picture.width, picture.height);
    for (let i = 0; i < 60; i++) brush = nextBrush(brush, 1, picture);
    expect(brush).toBe(most);
    for (let i = 0; i < 60; i++) brush = nextBrush(brush, -1, picture);
    expect(brush).toBe(1);
  },
);

test('a mask that marks nothing is none, and says so; one that was not drawn yet is one', () => {
  const stroke = { kind: 'stroke', erase: false, size: 3, points: [{ x: 1, y: 1 }] } as const;
  expect(marks(null)).toBe(false);
  expect(marks({ marks: [], share: null })).toBe(false);
  expect(marks({ marks: [stroke, { kind: 'clear' }], share: 0 })).toBe(false);
  expect(marks({ marks: [stroke], share: 0.1 })).toBe(true);
  expect(marks(maskFrom('ab'))).toBe(true);
  expect(maskFrom(null)).toBeNull();
  expect(shareWords({ marks: [stroke], share: 0 })).toMatch(/Nothing is marked/);
  expect(shareWords({ marks: [stroke], share: 0.001 })).toMatch(/^Less than 1 %/);
  expect(shareWords({ marks: [stroke], share: 0.25 })).toMatch(/^25 %/);
});
