import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createReward } from '#pipelines/rewards/index.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';

const score = async (spec: string, ...sequences: string[]): Promise<number[]> => {
  const reward = await createReward(spec);
  return Array.from(await reward.score(sequences.map((sequence) => ({ kind: 'sequence', sequence }))));
};
const one = async (spec: string, sequence: string) => (await score(spec, sequence))[0]!;
const letters = (alphabet: string, minLength: number, maxLength = 60) =>
  fc.array(fc.constantFrom(...alphabet), { minLength, maxLength }).map((list) => list.join(''));
const dna = letters('ACGT', 14);
const protein = letters('ACDEFGHIKLMNPQRSTVWY', 1);

/** The protein of Biopython's documentation of ProtParam, with the properties it prints. */
const PROTEIN =
  'MAEGEITTFTALTEKFNLPPGNYKKPKLLYCSNGGHFLRILPDGTVDGTRDRSDQHIQLQLSAESVGEVYIKSTETGQYLAMDTSGLLYGSQTPSEECLFLERLEENHYNTYTSKKHAEKNWFVGLKKNGSCKRGPRTHYGQKAILFLPLPV';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-rewards-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('of both strands', () => {
  prop.prop([dna], { numRuns: 30 })(
    'gc, cpg, motif, restriction-sites and melting-temperature give the same number',
    async (s) => {
      for (const spec of ['gc', 'cpg', 'motif:TATAWAW', 'motif:GANTC,count=true', 'melting-temperature']) {
        const [forward, backward] = await score(spec, s, reverseComplement(s));
        expect(backward!, spec).toBeCloseTo(forward!, 4);
      }
      const [sites, back] = await score('restriction-sites:BsaI+EcoRI+HinfI', s, reverseComplement(s));
      expect(back).toBe(sites);
    },
  );

  prop.prop([dna])('RNA and small letters read as DNA', async (s) => {
    for (const spec of ['gc', 'cpg', 'motif:TATAWAW', 'melting-temperature']) {
      const [a, b] = await score(spec, s, s.replaceAll('T', 'u').toLowerCase());
      expect(b, spec).toBe(a);
    }
  });
});

describe('gc', () => {
  prop.prop([fc.nat(40), fc.nat(40)])('is the share of G and C', async (strong, weak) => {
    const sequence = `${'GC'.repeat(strong)}${'AT'.repeat(weak)}N`;
    expect(await one('gc', sequence)).toBeCloseTo(strong + weak === 0 ? 0 : strong / (strong + weak), 6);
  });
});

describe('cpg', () => {
  test('is observed over expected, by hand', async () => {
    // CGCG: 2 CpG, 2 C, 2 G, 4 letters: 2 · 4 / 4. ACGT: 1 · 4 / 1. CCGG: 1 · 4 / 4.
    expect(await score('cpg', 'CGCG', 'ACGT', 'CCGG', 'GCAT', 'AAAA')).toEqual([2, 4, 1, 0, 0]);
  });
});

describe('kmer', () => {
  test('of the frequencies themselves correlates by 1 and is at distance 0', async () => {
    const table = file('two.txt', '# pairs\nAA 1\nAC 1\nCA 1\n');
    expect(await one(`kmer:${table}`, 'AACA')).toBeCloseTo(1, 6);
    expect(await one(`kmer:${table},measure=distance`, 'AACA')).toBeCloseTo(0, 6);
    expect(await one(`kmer:${table},measure=distance`, 'GGGG')).toBeCloseTo(-1, 6);
    // Half of its words are in the table, which has a third of each: |1/2 − 1/3| + 1/3 + 1/3 + 1/2, halved.
    expect(await one(`kmer:${table},measure=distance`, 'AAG')).toBeCloseTo(-2 / 3, 6);
  });

  test('names the line that is no word and number, and a sequence that is too short', async () => {
    await expect(createReward(`kmer:${file('bad.txt', 'AA 1\nAXC 3')}`)).rejects.toThrow(/line 2 is not a word/);
    await expect(createReward(`kmer:${file('odd.txt', 'AA 1\nAAC 3')}`)).rejects.toThrow(/line 2 has 3 bases/);
    await expect(createReward(`kmer:${join(folder, 'none.txt')}`)).rejects.toMatchObject({ name: 'NorthlightError' });
    await expect(one(`kmer:${file('three.txt', 'AAC 1')}`, 'AN')).rejects.toThrow(/Item 0: It has no word of 3 bases/);
  });
});

describe('motif', () => {
  const bits = (p: number) => Math.log2(p / 0.25);

  test('of a consensus is the sum over positions of log-odds with pseudocounts', async () => {
    const match = bits(20.2 / 20.8);
    const mismatch = bits(0.2 / 20.8);
    const half = bits(10.2 / 20.8);
    expect(await one('motif:TATAAA', 'GGTATAAAGG')).toBeCloseTo(6 * match, 5);
    expect(await one('motif:TATAAA,strands=one', 'TTTATA')).toBeCloseTo(4 * match + 2 * mismatch, 5);
    expect(await one('motif:TATAAA', 'TTTATA')).toBeCloseTo(6 * match, 5);
    expect(await one('motif:W', 'T')).toBeCloseTo(half, 5);
    expect(await one('motif:N', 'T')).toBeCloseTo(0, 6);
    expect(await one('motif:TATAAA', 'TATA')).toBeCloseTo(6 * mismatch, 5);
  });

  prop.prop([letters('ACGT', 8), fc.nat(40)], { numRuns: 30 })(
    'is best where the consensus was put',
    async (background, at) => {
      const start = at % background.length;
      const planted = `${background.slice(0, start)}GGAANCC${background.slice(start)}`.replace('N', 'T');
      const [best] = await score('motif:GGAANCC', planted);
      expect(best).toBeCloseTo(6 * bits(20.2 / 20.8), 5);
      expect(await one('motif:GGAANCC,count=true', planted)).toBeGreaterThanOrEqual(1);
    },
  );

  test('counts starts that reach a threshold, overlapping ones and palindromes once', async () => {
    expect(await one('motif:GATC,count=true', 'GATCGATC')).toBe(2);
    expect(await one('motif:AAA,count=true,strands=one', 'AAAAA')).toBe(3);
    expect(await one('motif:GATC,count=true,threshold=100', 'GATCGATC')).toBe(0);
    expect(await one('motif:GATC,count=true', 'GA')).toBe(0);
  });

  const counts = [
    [0, 3, 79],
    [94, 75, 4],
    [1, 0, 3],
    [2, 19, 11],
  ];
  const jaspar = `>MA0001.1 AGL3\nA  [ 0  3 79 ]\nC  [94 75  4 ]\nG  [ 1  0  3 ]\nT  [ 2 19 11 ]\n`;
  const meme = `MEME version 4\n\nALPHABET= ACGT\n\nMOTIF MA0001.1 AGL3\nletter-probability matrix: alength= 4 w= 3 nsites= 97 E= 0\n${[0, 1, 2].map((i) => counts.map((row) => (row[i]! / 97).toFixed(9)).join(' ')).join('\n')}\nURL x\n`;
  const expected = [94, 75, 79].reduce((sum, n) => sum + bits((n + 0.2) / 97.8), 0);

  test.each([
    ['JASPAR', 'm.jaspar', jaspar],
    ['MEME', 'm.meme', meme],
    ['JASPAR without brackets', 'm.pfm', jaspar.replaceAll(/[[\]]|^[ACGT] /gm, '')],
  ])('of a %s file is by its counts', async (_, name, text) => {
    expect(await one(`motif:file=${file(name, text)}`, 'TTCCATT')).toBeCloseTo(expected, 5);
  });

  test('asks which of several motifs, and says what is wrong with a file', async () => {
    const two = file('two.jaspar', jaspar + jaspar.replace('MA0001.1 AGL3', 'MA0002.2 RUNX1'));
    await expect(createReward(`motif:file=${two}`)).rejects.toThrow(/holds 2 motifs: MA0001.1, MA0002.2/);
    await expect(createReward(`motif:file=${two},name=RUNX2`)).rejects.toThrow(/no motif "RUNX2"/);
    expect(await one(`motif:file=${two},name=AGL3`, 'TTCCATT')).toBeCloseTo(expected, 5);
    await expect(createReward(`motif:file=${file('x.jaspar', '>M\nA [1 2]\nC [1]')}`)).rejects.toThrow(/line 1/);
    await expect(createReward(`motif:file=${file('x.txt', 'hello')}`)).rejects.toThrow(/holds no motif/);
    await expect(createReward('motif')).rejects.toThrow(/either a consensus or a file/);
    await expect(createReward('motif:TAXA')).rejects.toThrow(/IUPAC/);
  });
});

describe('restriction-sites', () => {
  test('counts both strands of a site, palindromes once, in any case', async () => {
    expect(await score('restriction-sites:EcoRI', 'aagaattcgaattc', 'GAATT', 'GAAUUC')).toEqual([2, 0, 1]);
    expect(await score('restriction-sites:bsai', 'GGTCTC', 'GAGACC', 'GGTCTCGAGACC')).toEqual([1, 1, 2]);
    expect(await one('restriction-sites:HinfI', 'GACTCGAGTC')).toBe(2);
    expect(await one('restriction-sites:EcoRI+GGATCC', 'GAATTCGGATCC')).toBe(2);
    // An unread letter might be anything: it is not counted.
    expect(await one('restriction-sites:EcoRI', 'GAATTN')).toBe(0);
  });

  test('names an enzyme that is not known, and the one that was meant', async () => {
    await expect(createReward('restriction-sites:EcoR1')).rejects.toMatchObject({
      code: 'reward/option',
      hint: expect.stringContaining('EcoRI'),
    });
  });
});

describe('homopolymer and repeats', () => {
  prop.prop([letters('AB', 1, 30)])('are what trying all substrings finds', async (s) => {
    const words = Array.from({ length: s.length }, (_, from) =>
      Array.from({ length: s.length - from }, (__, n) => s.slice(from, from + n + 1)),
    ).flat();
    const run = Math.max(...words.filter((w) => new Set(w).size === 1).map((w) => w.length));
    const twice = words.filter((w) => s.indexOf(w) !== s.lastIndexOf(w)).map((w) => w.length);
    expect(await one('homopolymer', s)).toBe(run);
    expect(await one('repeats', s)).toBe(Math.max(0, ...twice));
    expect(await one('repeats:3', s)).toBe(Math.max(0, ...twice.filter((n) => n >= 3)));
  });

  test('are better when lower', async () => {
    for (const spec of ['homopolymer', 'repeats', 'restriction-sites:EcoRI', 'instability']) {
      expect((await createReward(spec)).higherIsBetter).toBe(false);
    }
  });
});

describe('melting-temperature', () => {
  test('of 28 bases at 50 mM Na⁺ is what Biopython documents for SantaLucia 1998', async () => {
    // Bio.SeqUtils.MeltingTemp: Tm_NN with DNA_NN3, dnac1 = dnac2 = 25 nM, Na = 50 mM, saltcorr 5.
    expect(await one('melting-temperature', 'CGTTCCAAAGATGTGGGCATGAGCTTAC')).toBeCloseTo(60.32, 2);
  });

  test('of the self-complementary CGCGAATTCGCGCGCGAATTCGCG is by hand', async () => {
    // Its 23 pairs, counted by eye, with the values of table 2.
    const pairs: Record<string, [number, number, number]> = {
      CG: [8, -10.6, -27.2],
      GC: [5, -9.8, -24.4],
      GA: [2, -8.2, -22.2],
      AA: [2, -7.9, -22.2],
      AT: [2, -7.2, -20.4],
      TT: [2, -7.9, -22.2],
      TC: [2, -8.2, -22.2],
    };
    expect(Object.values(pairs).reduce((n, [count]) => n + count, 0)).toBe(23);
    const h = 2 * 0.1 + Object.values(pairs).reduce((s, [n, dh]) => s + n * dh, 0);
    const s = 2 * -2.8 - 1.4 + Object.values(pairs).reduce((sum, [n, , ds]) => sum + n * ds, 0);
    const expected = (1000 * h) / (s + 0.368 * 23 * Math.log(1) + 1.987 * Math.log(1e-6)) - 273.15;
    expect(await one('melting-temperature:sodium=1000,strands=1000', 'CGCGAATTCGCGCGCGAATTCGCG')).toBeCloseTo(
      expected,
      4,
    );
  });

  test('of short oligonucleotides is 2 °C for A and T and 4 °C for G and C', async () => {
    expect(await score('melting-temperature', 'ATATATATATATA', 'GCGCGCGCGC', 'AC')).toEqual([26, 40, 6]);
  });

  test('rises with salt, and refuses unread letters by position', async () => {
    const s = 'ACGTTGCAAGGCTTAACC';
    expect(await one('melting-temperature:sodium=200', s)).toBeGreaterThan(await one('melting-temperature', s));
    await expect(score('melting-temperature', s, 'ACNGT')).rejects.toThrow(/Item 1: "N" at position 3 is not a base/);
  });
});

describe('codon-index', () => {
  test('of a short gene is what Biopython tests, which divides the sum of nine logarithms by eight', async () => {
    const mean = await one('codon-index', 'ATGCGTATCGATCGCGATACGATTAGGCGGATG');
    expect(mean ** (9 / 8)).toBeCloseTo(0.09978, 5);
  });

  test('of best codons is 1; ATG, TGG and the stop do not count', async () => {
    expect(await score('codon-index', 'ATGGCTCGTAACTGGTAA', 'GCT', 'AUGGCUUAA')).toEqual([1, 1, 1]);
    expect(await one('codon-index', 'GCTGCC')).toBeCloseTo(Math.sqrt(0.122), 6);
  });

  test('knows a weight for each of the 59 codons that have a choice, with one best per amino acid', async () => {
    const all = [...'ACGT'].flatMap((a) => [...'ACGT'].flatMap((b) => [...'ACGT'].map((c) => a + b + c)));
    const coding = all.filter((codon) => !['TAA', 'TAG', 'TGA', 'ATG', 'TGG'].includes(codon));
    const weights = await score('codon-index', ...coding);
    expect(weights).toHaveLength(59);
    expect(weights.every((w) => w > 0 && w <= 1)).toBe(true);
    expect(weights.filter((w) => w === 1)).toHaveLength(18);
  });

  test('refuses half codons and a stop in the middle', async () => {
    await expect(one('codon-index', 'GCTG')).rejects.toThrow(/4 bases are not whole codons/);
    await expect(one('codon-index', 'GCTTAAGCT')).rejects.toThrow(/codon at position 4 is a stop/);
    await expect(one('codon-index', 'ATGTAA')).rejects.toThrow(/no codon that has a choice/);
  });
});

describe('proteins', () => {
  test('have the properties that ProtParam prints', async () => {
    expect(await one('isoelectric-point', PROTEIN)).toBeCloseTo(7.72, 2);
    expect(await one('instability', PROTEIN)).toBeCloseTo(41.98, 2);
    expect(await one('hydropathy', PROTEIN)).toBeCloseTo(-0.597, 3);
    expect(await one('isoelectric-point', 'INGAR')).toBeCloseTo(9.75, 2);
    expect(await one('net-charge', 'INGAR')).toBeCloseTo(0.76, 2);
    // As the R package Peptides quotes ExPASy.
    expect(await one('isoelectric-point', 'QWGRRCCGWGPGRRYCVRWC')).toBeCloseTo(9.88, 2);
    expect(await one('instability', 'QWGRRCCGWGPGRRYCVRWC')).toBeCloseTo(83.68, 2);
  });

  prop.prop([protein, fc.double({ min: 0, max: 12, noNaN: true })])(
    'lose charge as the pH rises, and have none at their isoelectric point',
    async (s, pH) => {
      expect(await one(`net-charge:${pH + 2}`, s)).toBeLessThan(await one(`net-charge:${pH}`, s));
      const pI = await one('isoelectric-point', s);
      if (pI > 0.001 && pI < 13.999) expect(await one(`net-charge:pH=${pI}`, s)).toBeCloseTo(0, 4);
    },
  );

  prop.prop([protein])('have the mean hydropathy of their letters in any order', async (s) => {
    expect(await one('hydropathy', [...s].reverse().join(''))).toBeCloseTo(await one('hydropathy', s), 4);
  });

  test('are checked by hand: two residues, all of one kind, a stop at the end', async () => {
    expect(await score('hydropathy', 'IIII', 'RR', 'IR')).toEqual([4.5, -4.5, 0]);
    expect(await one('instability', 'AC')).toBeCloseTo((10 / 2) * 44.94, 4);
    expect(await one('instability', 'AAAA*')).toBeCloseTo((10 / 4) * 3, 4);
    await expect(score('hydropathy', 'AC', 'ABC')).rejects.toThrow(/Item 1: "B" at position 2/);
  });
});

test('a picture and an empty sequence are refused with their place', async () => {
  const reward = await createReward('gc');
  expect(reward.kinds).toEqual(['sequence']);
  const picture = { kind: 'image' as const, rgb: new Uint8Array(3), width: 1, height: 1, prompt: '' };
  await expect(reward.score([{ kind: 'sequence', sequence: 'A' }, picture])).rejects.toMatchObject({
    code: 'reward/kind',
    message: expect.stringContaining('Item 1'),
  });
  await expect(one('gc', '')).rejects.toMatchObject({ code: 'reward/length' });
});
