import { BASES, IUPAC } from './nucleotides.ts';

/** A consensus counts as this many sites, spread evenly over the bases that each letter stands for. */
export const CONSENSUS_SITES = 20;
/** Sites added over the four bases, as JASPAR does (Sandelin et al. 2004; Nishida et al. 2009). */
const PSEUDOCOUNTS = 0.8;

/** Log-odds of each base at each position, `[positions][4]`, bits. */
export type WeightMatrix = readonly (readonly number[])[];

/** Sites of a consensus in capital IUPAC letters: counts of A, C, G, T at each position, `[positions][4]`. */
export function consensusCounts(consensus: string): number[][] {
  return [...consensus].map((letter) =>
    [...BASES].map((base) => (IUPAC[letter]!.includes(base) ? CONSENSUS_SITES / IUPAC[letter]!.length : 0)),
  );
}

/** log₂ of the probability of each base over 1/4. Stormo 2000, Bioinformatics 16:16. */
export function logOdds(counts: readonly (readonly number[])[]): number[][] {
  return counts.map((column) => {
    const total = column.reduce((a, b) => a + b, 0) + PSEUDOCOUNTS;
    return column.map((count) => Math.log2((count + PSEUDOCOUNTS / 4) / total / 0.25));
  });
}

/** Log-odds of the motif at every start, in bits. A letter that is no base has the least of its position. */
export function scan(letters: string, weights: WeightMatrix): number[] {
  const least = weights.map((column) => Math.min(...column));
  return Array.from({ length: Math.max(0, letters.length - weights.length + 1) }, (_, start) =>
    weights.reduce((sum, column, i) => sum + (column[BASES.indexOf(letters[start + i]!)] ?? least[i]!), 0),
  );
}

/** The most and the least that a sequence can have. */
export function extremes(weights: WeightMatrix): readonly [best: number, worst: number] {
  const total = (pick: (...values: number[]) => number) => weights.reduce((sum, column) => sum + pick(...column), 0);
  return [total(Math.max), total(Math.min)];
}
