import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import type { Sequence } from '#pipelines/engine/contract.ts';
import { lanesOf } from '#renderer/logic/lanes.ts';
import { letterLayers } from '#renderer/logic/letters.ts';
import { bestFirst, filteredRows, orderedRows, rewardColumns } from '#renderer/logic/sequence-rows.ts';

const row = (seq: number, letters: string, scores: Sequence['scores'] = {}): Sequence => ({
  ...{ seq, id: `s${seq}`, hash: '', letters, className: null, modelId: '', adapterId: null, seed: 1, index: seq },
  ...{ steps: 1, scheduler: 'masked', eta: 0, guidanceScale: 1, scores, jobId: '', createdAt: '' },
});
const rows = [row(1, 'ACGT', { gc: 0.5 }), row(2, 'AAAAA', { gc: 0 }), row(3, 'GGG'), row(4, 'GCGC', { gc: 1, tm: 3 })];
const seqs = (found: readonly Sequence[]) => found.map((s) => s.seq);

test('rows go by a reward either way, and those without it come last', () => {
  expect(seqs(orderedRows(rows, { by: 'gc', down: true }))).toEqual([4, 1, 2, 3]);
  expect(seqs(orderedRows(rows, { by: 'gc', down: false }))).toEqual([2, 1, 4, 3]);
  expect(seqs(orderedRows(rows, { by: 'length', down: false }))).toEqual([3, 1, 4, 2]);
  expect(rewardColumns(rows)).toEqual(['gc', 'tm']);
});

test('a search compares rewards and finds letters, IUPAC ones in DNA', () => {
  expect(seqs(filteredRows(rows, 'gc>=0.5', true))).toEqual([1, 4]);
  expect(seqs(filteredRows(rows, 'gc>0 length<=4', true))).toEqual([1, 4]);
  expect(seqs(filteredRows(rows, 'sg', true))).toEqual([1, 3, 4]);
  expect(seqs(filteredRows(rows, 'sg', false))).toEqual([]);
  expect(seqs(filteredRows(rows, '', true))).toEqual([1, 2, 3, 4]);
});

prop.prop([fc.string({ unit: fc.constantFrom(...'ACGTUN-'), maxLength: 60 })])(
  'layers over one another are the sequence: at every place one has its letter and the others a blank',
  (letters) => {
    const layers = letterLayers(letters, 'dna');
    for (const [i, letter] of [...letters].entries()) {
      expect(layers.map(({ text }) => text[i]).filter((c) => c !== ' ')).toEqual([letter]);
    }
  },
);

prop.prop([fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 20 })))])(
  'no two intervals of a lane overlap, and there are as many lanes as intervals over the fullest place',
  (pairs) => {
    const intervals = pairs.map(([start, size]) => ({ start, end: start + size }));
    const lanes = lanesOf(intervals);
    for (const [i, a] of intervals.entries()) {
      for (const [j, b] of intervals.entries()) {
        if (i < j && lanes[i] === lanes[j]) expect(a.end <= b.start || b.end <= a.start).toBe(true);
      }
    }
    const depth = Math.max(
      0,
      ...intervals.map((a) => intervals.filter((b) => b.start <= a.start && a.start < b.end).length),
    );
    expect(Math.max(0, ...lanes.map((l) => l + 1))).toBe(depth);
  },
);

test('the best come first, then in their order those of which nothing is known', () => {
  const known = { a: 1, b: undefined, c: 3, d: undefined, e: 3 };
  expect(bestFirst(Object.keys(known), (name) => known[name as keyof typeof known])).toEqual(['c', 'e', 'a', 'b', 'd']);
});
