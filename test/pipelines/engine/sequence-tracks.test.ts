import { expect, test } from 'vitest';
import { sequenceText } from '#pipelines/engine/sequence-text.ts';
import { tracksOf } from '#pipelines/engine/sequence-tracks.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { parseDelimited } from '#pipelines/sequences/sequence-files.ts';

const HNF4A = 'CAAAGTCCA';
const filler = 'TTTTTTTTTT';

test('a planted site is found where it stands, on its strand, with the most bits there are', () => {
  const letters = `${filler}${HNF4A}${filler}${reverseComplement(HNF4A)}${filler}`;
  const found = tracksOf(letters).motifs.find(({ name }) => name === 'HNF4A')!;
  expect(found.hits.map(({ start, end, strand }) => [start, end, strand])).toEqual([
    [10, 19, '+'],
    [29, 38, '-'],
  ]);
  for (const { bits } of found.hits) expect(bits).toBeCloseTo(found.best, 9);
  // Per position log2((20 + 0.2) / 20.8 / 0.25), nine of them.
  expect(found.best).toBeCloseTo(9 * Math.log2(20.2 / 20.8 / 0.25), 9);
});

test('a palindromic restriction site is told of once, another one with its strand', () => {
  const { enzymes } = tracksOf(`${filler}GAATTC${filler}GAGACC${filler}`);
  expect(enzymes.find(({ name }) => name === 'EcoRI')?.hits).toEqual([{ start: 10, end: 16, strand: '+' }]);
  expect(enzymes.find(({ name }) => name === 'BsaI')?.hits).toEqual([{ start: 26, end: 32, strand: '-' }]);
  expect(enzymes.some(({ site }) => site.length < 6)).toBe(false);
});

test('the share of G and C is counted over the window, cut off at the ends; proteins have no tracks', () => {
  const { gc } = tracksOf(`${'G'.repeat(30)}${'A'.repeat(30)}`);
  expect(gc.window).toBe(20);
  expect([gc.values[0], gc.values[10], gc.values[30], gc.values[35], gc.values[59]]).toEqual([1, 1, 0.5, 0.25, 0]);
  expect(tracksOf('MKWLF')).toEqual({ motifs: [], enzymes: [], gc: { window: 20, values: [] } });
});

test('a table of sequences keeps names of rewards that hold commas, as quoted fields', () => {
  const text = sequenceText(
    [
      {
        ...{ seq: 7, id: 's', hash: 'h', letters: 'ACGT', className: 'K, 562', modelId: 'm', adapterId: null, seed: 3 },
        ...{ index: 0, steps: 4, scheduler: 'masked', eta: 0, guidanceScale: 1, jobId: 'j', createdAt: '' },
        scores: { 'motif:TGASTCA,count=true': 2 },
      },
    ],
    'csv',
  );
  expect(text.split('\r\n')[0]).toContain('"motif:TGASTCA,count=true"');
  expect(text).toContain('"K, 562"');
  expect(parseDelimited(text, 'csv', ',')).toEqual([{ id: 'nl000007', sequence: 'ACGT' }]);
});
