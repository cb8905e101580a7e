import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { logoOf } from '#renderer/logic/sequence-logo.ts';

test('a position that is always the same letter has 2 bits less the correction for few sequences', () => {
  const n = 20;
  const [column] = logoOf(new Array<string>(n).fill('A'), 'ACGT');
  expect(column!.bits).toBeCloseTo(2 - 3 / (2 * Math.LN2 * n), 12);
  expect(column!.stack).toEqual([{ letter: 'A', height: column!.bits }]);
});

test('heights by hand: half A, a quarter C, a quarter G has an entropy of 1.5 bits', () => {
  const sequences = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 'A' : i % 4 === 1 ? 'C' : 'G'));
  const [column] = logoOf(sequences, 'ACGT');
  const bits = 2 - 1.5 - 3 / (2 * Math.LN2 * 400);
  expect(column!.bits).toBeCloseTo(bits, 12);
  expect(column!.stack.map((l) => l.letter)).toEqual(['C', 'G', 'A']);
  expect(column!.stack.at(-1)!.height).toBeCloseTo(bits / 2, 12);
});

test('a protein position has log₂ 20 at most, and the correction of 19 degrees of freedom', () => {
  const [column] = logoOf(new Array<string>(100).fill('W'), 'ACDEFGHIKLMNPQRSTVWY');
  expect(column!.bits).toBeCloseTo(Math.log2(20) - 19 / (200 * Math.LN2), 12);
});

test('one sequence says nothing: the correction is larger than what there is', () => {
  expect(logoOf(['ACGT'], 'ACGT').map((c) => c.bits)).toEqual([0, 0, 0, 0]);
});

test('shorter sequences and strange letters do not count where they have no letter', () => {
  const columns = logoOf(['ACN', 'AC', 'A'], 'ACGT');
  expect(columns.map((c) => c.count)).toEqual([3, 2, 0]);
});

prop.prop([fc.array(fc.string({ unit: fc.constantFrom(...'ACGT'), minLength: 5, maxLength: 5 }), { minLength: 1 })])(
  'letters of a stack add up to its height, which lies between 0 and 2 bits',
  (sequences) => {
    for (const { bits, stack } of logoOf(sequences, 'ACGT')) {
      expect(bits).toBeGreaterThanOrEqual(0);
      expect(bits).toBeLessThan(2);
      expect(stack.reduce((sum, { height }) => sum + height, 0)).toBeCloseTo(bits, 9);
    }
  },
);
