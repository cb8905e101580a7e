import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IUPAC, reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { findAllSites, findSites, placesOf } from '#pipelines/sequences/sites.ts';
import { addWordCounts } from '#pipelines/sequences/words.ts';

const letters = (alphabet: string, minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { minLength, maxLength }).map((list) => list.join(''));
const dna = letters('ACGT', 0, 80);
const consensus = letters('ACGTRYSWKMBDHVN', 1, 5);

describe('nucleotides', () => {
  test('complements of the fifteen letters are those of Biopython 1.80, ambiguous_dna_complement', () => {
    const pairs = 'AT CG MK RY WW SS YR KM VB HD DH BV NN GC TA'.split(' ');
    for (const [letter, partner] of pairs) expect(reverseComplement(letter!), letter).toBe(partner);
    expect(pairs).toHaveLength(Object.keys(IUPAC).length);
  });

  prop.prop([letters('ACGTRYSWKMBDHVN', 0, 40)])('the other strand of the other strand is the first', (s) => {
    expect(reverseComplement(reverseComplement(s))).toBe(s);
  });
});

describe('sites', () => {
  prop.prop([dna, consensus])('are those that a regular expression finds on either strand', (sequence, motif) => {
    const starts = (word: string) => {
      const pattern = [...word].map((letter) => `[${IUPAC[letter]!}]`).join('');
      return [...sequence.matchAll(new RegExp(`(?=${pattern})`, 'g'))].map((match) => match.index);
    };
    const sites = findSites(sequence, motif);
    expect(sites.filter((s) => s.strand === '+').map((s) => s.start)).toEqual(starts(motif));
    expect(sites.filter((s) => s.strand === '-').map((s) => s.start)).toEqual(starts(reverseComplement(motif)));
    expect(findAllSites(sequence, ['GATC', motif])[1]).toEqual(sites);
  });

  test('of a palindrome stand at one place, and letters that are no bases match nothing, N of a motif included', () => {
    expect(findSites('TTGAATTCTT', 'GAATTC').map((s) => s.strand)).toEqual(['+', '-']);
    expect(placesOf(findSites('TTGAATTCTT', 'GAATTC'))).toBe(1);
    expect(findSites('GANTC', 'GANTC')).toEqual([]);
  });

  test('of a motif with a letter that is no IUPAC letter are refused by name', () => {
    expect(() => findSites('ACGT', 'ACX')).toThrow(/"X" in the motif ACX/);
  });
});

prop.prop([letters('ACGTN', 0, 60), fc.integer({ min: 1, max: 4 })])('words are counted as by slicing', (s, k) => {
  const words = Array.from({ length: Math.max(0, s.length - k + 1) }, (_, i) => s.slice(i, i + k));
  const known = words.filter((word) => !word.includes('N'));
  const counts = addWordCounts(s, k, new Float64Array(4 ** k));
  expect(counts.reduce((a, b) => a + b, 0)).toBe(known.length);
  for (const word of known) {
    const at = Number.parseInt([...word].map((letter) => 'ACGT'.indexOf(letter)).join(''), 4);
    expect(counts[at]).toBe(known.filter((other) => other === word).length);
  }
});
