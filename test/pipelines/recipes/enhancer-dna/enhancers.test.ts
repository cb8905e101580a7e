import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { activityOf, BASELINE, CEILING, holds } from '#pipelines/recipes/enhancer-dna/activity.ts';
import { drawBackground, PAIR_SHARES, TRANSITIONS } from '#pipelines/recipes/enhancer-dna/background.ts';
import { drawDataset } from '#pipelines/recipes/enhancer-dna/dataset.ts';
import { drawEnhancer, ENHANCER_LENGTH } from '#pipelines/recipes/enhancer-dna/enhancers.ts';
import { CELLS, MOTIFS, RULES } from '#pipelines/recipes/enhancer-dna/motifs.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { findSites } from '#pipelines/sequences/sites.ts';

/** No motif matches in or across it. */
const SPACER = 'ATATATATAT';
const spaced = (...parts: string[]) => [SPACER, ...parts.flatMap((p) => [p, SPACER])].join('');
const expected = (score: number) => CEILING * Math.tanh(score / CEILING);

describe('sites', () => {
  test('are found on both strands, a palindrome on each', () => {
    expect(findSites('CCTGATAAGRCC'.replace('R', 'A'), 'GATAAGA')).toEqual([{ start: 3, end: 10, strand: '+' }]);
    expect(findSites('TTTCTTATCAA', 'AGATAAGR').map((s) => s.strand)).toEqual([]);
    expect(findSites('TTTCTTATCTAA', 'AGATAAGR')).toEqual([{ start: 2, end: 10, strand: '-' }]);
    expect(findSites('ACACGTGA', 'CACGTG').map((s) => s.strand)).toEqual(['+', '-']);
  });

  test('of every motif are IUPAC, and at least a dozen serve each cell line', () => {
    for (const { consensus } of MOTIFS) expect(consensus).toMatch(/^[ACGTRYSWKMBDHVN]{6,}$/);
    for (const c of CELLS.keys()) expect(MOTIFS.filter((m) => m.weights[c]! >= 0.5).length).toBeGreaterThanOrEqual(12);
    const names = MOTIFS.map((m) => m.name);
    expect(new Set(names).size).toBe(names.length);
    for (const { first, second } of RULES) expect(names).toEqual(expect.arrayContaining([first, second]));
  });
});

describe('the activity', () => {
  test('of DNA without sites is the baseline', () => {
    expect(activityOf(SPACER.repeat(20))).toEqual({
      HepG2: expected(BASELINE),
      K562: expected(BASELINE),
      'SK-N-SH': expected(BASELINE),
    });
  });

  test('adds the weights of sites, of one motif at most twice', () => {
    const site = 'CAAAGTCCA';
    const at = (n: number) => activityOf(spaced(...new Array<string>(n).fill(site))).HepG2;
    expect(at(1)).toBeCloseTo(expected(BASELINE + 1.5), 12);
    expect(at(2)).toBeCloseTo(expected(BASELINE + 3), 12);
    expect(at(5)).toBe(at(2));
    expect(activityOf(spaced(site)).K562).toBeCloseTo(expected(BASELINE), 12);
    expect(activityOf(spaced('TTCAGCACCATGGACAG'))['SK-N-SH']).toBeCloseTo(expected(BASELINE - 0.8), 12);
  });

  test('adds a bonus for an E-box six to nine letters before a GATA site, and only so', () => {
    const [box, gata] = ['AACAGATGTT', 'AGATAAGG'];
    const between = 'ATATATATATATAT';
    const pair = (a: string, n: number, b: string) => activityOf(spaced(a + between.slice(0, n) + b)).K562;
    const plain = expected(BASELINE + 1.1 + 1.2);
    const bonus = expected(BASELINE + 1.1 + 1.2 + 1.5);
    for (const n of [6, 7, 8, 9]) expect(pair(box, n, gata)).toBeCloseTo(bonus, 12);
    for (const n of [4, 5, 10, 12]) expect(pair(box, n, gata)).toBeCloseTo(plain, 12);
    expect(pair(gata, 8, box)).toBeCloseTo(plain, 12);
    expect(pair(box, 8, reverseComplement(gata))).toBeCloseTo(plain, 12);
    expect(pair(reverseComplement(gata), 8, reverseComplement(box))).toBeCloseTo(bonus, 12);
  });

  prop.prop([fc.nat(5000)])('is the same on both strands', (index) => {
    const { sequence } = drawEnhancer(3, index);
    const [here, there] = [activityOf(sequence), activityOf(reverseComplement(sequence))];
    for (const cell of CELLS) expect(there[cell]).toBeCloseTo(here[cell], 12);
  });
});

describe('the background', () => {
  test('has the shares of letters, pairs and triples of its chain', () => {
    const letters = 300_000;
    const sequence = drawBackground(letters, new Rng(1));
    for (let pair = 0; pair < 16; pair++) {
      for (let c = 0; c < 4; c++) {
        const p = PAIR_SHARES[pair]! * TRANSITIONS[pair * 4 + c]!;
        const triple = 'ACGT'[pair >> 2]! + 'ACGT'[pair & 3]! + 'ACGT'[c]!;
        let n = 0;
        for (let i = sequence.indexOf(triple); i >= 0; i = sequence.indexOf(triple, i + 1)) n++;
        // Neighbouring triples depend on each other: twice the error of independent ones.
        expect(Math.abs(n / letters - p)).toBeLessThan(8 * Math.sqrt(p / letters));
      }
    }
  });

  test('is poor in CpG and has the GC content of DNA between genes', () => {
    const share = (a: string, b: string) => PAIR_SHARES['ACGT'.indexOf(a) * 4 + 'ACGT'.indexOf(b)]!;
    const of = (a: string) => [...'ACGT'].reduce((sum, b) => sum + share(a, b), 0);
    expect(share('C', 'G') / (of('C') * of('G'))).toBeGreaterThan(0.15);
    expect(share('C', 'G') / (of('C') * of('G'))).toBeLessThan(0.35);
    expect(of('C') + of('G')).toBeGreaterThan(0.36);
    expect(of('C') + of('G')).toBeLessThan(0.44);
  });
});

describe('enhancers', () => {
  const many = Array.from({ length: 1500 }, (_, i) => drawEnhancer(11, i));
  const activities = many.map(({ sequence }) => activityOf(sequence));

  test('as a data set are the same ones, as numbers', () => {
    const data = drawDataset({ count: 20, seed: 11 });
    for (let i = 0; i < 20; i++) {
      const letters = Array.from(data.tokens.subarray(i * 200, (i + 1) * 200), (t) => 'ACGT'[t]).join('');
      expect(letters).toBe(many[i]!.sequence);
      expect(CELLS[data.cells[i]!]).toBe(many[i]!.cell);
      CELLS.forEach((cell, c) => {
        expect(data.activities[i * 3 + c]).toBe(Math.fround(activities[i]![cell]));
      });
    }
  });

  test('are 200 letters, made again from seed and number alone', () => {
    expect(many.every(({ sequence }) => /^[ACGT]+$/.test(sequence) && sequence.length === ENHANCER_LENGTH)).toBe(true);
    expect(drawEnhancer(11, 700)).toEqual(many[700]);
    expect(drawEnhancer(12, 700).sequence).not.toBe(many[700]!.sequence);
  });

  test.each(CELLS)('written for %s are most active there', (cell) => {
    const mean = (where: (typeof CELLS)[number]) => {
      const values = activities.filter((_, i) => many[i]!.cell === cell).map((a) => a[where]);
      return values.reduce((a, b) => a + b, 0) / values.length;
    };
    for (const other of CELLS) if (other !== cell) expect(mean(cell)).toBeGreaterThan(mean(other) + 1);
  });

  test('hold a pair as a rule of their cell line wants it in half of them, less what decayed', () => {
    const share =
      many.filter(({ sequence, cell }) =>
        RULES.some((rule) => {
          const [first, second] = [rule.first, rule.second].map((name) => MOTIFS.find((m) => m.name === name)!);
          const sites = [findSites(sequence, first!.consensus), findSites(sequence, second!.consensus)] as const;
          return rule.cell === cell && holds(rule, ...sites);
        }),
      ).length / many.length;
    // Some twenty letters of a pair, each spoilt with probability of at most .03.
    expect(share).toBeGreaterThan(0.5 * 0.97 ** 20 - 0.04);
    expect(share).toBeLessThan(0.54);
  });

  test('spread from silent to strong, below the ceiling', () => {
    const own = activities.map((a, i) => a[many[i]!.cell]).sort((a, b) => a - b);
    expect(own.at(-1)).toBeLessThan(CEILING);
    expect(own[Math.floor(own.length / 2)]).toBeLessThan(3);
    expect(own[Math.floor(own.length * 0.99)]).toBeGreaterThan(4);
  });
});
