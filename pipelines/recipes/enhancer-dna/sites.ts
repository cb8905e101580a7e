import { NorthlightError } from '#models/errors.ts';

/** Letters that each IUPAC letter stands for. */
export const IUPAC: Readonly<Record<string, string>> = {
  A: 'A',
  C: 'C',
  G: 'G',
  T: 'T',
  R: 'AG',
  Y: 'CT',
  S: 'CG',
  W: 'AT',
  K: 'GT',
  M: 'AC',
  B: 'CGT',
  D: 'AGT',
  H: 'ACT',
  V: 'ACG',
  N: 'ACGT',
};

const COMPLEMENT: Readonly<Record<string, string>> = { A: 'T', C: 'G', G: 'C', T: 'A' };

/** The other strand of DNA in A, C, G, T, read 5′ to 3′. */
export function reverseComplement(sequence: string): string {
  let out = '';
  for (let i = sequence.length - 1; i >= 0; i--) out += COMPLEMENT[sequence[i]!]!;
  return out;
}

export interface Site {
  /** First letter of the site on the given strand, from 0. */
  readonly start: number;
  readonly end: number;
  readonly strand: '+' | '-';
}

/** One bit per letter, A 1, C 2, G 4, T 8: a site matches where every letter's bit is in the mask of its IUPAC letter. */
const BIT: Readonly<Record<string, number>> = { A: 1, C: 2, G: 4, T: 8 };

interface Pattern {
  readonly forward: Uint8Array;
  /** Of the other strand, read on this one. */
  readonly backward: Uint8Array;
}

const patterns = new Map<string, Pattern>();

function patternOf(consensus: string): Pattern {
  const known = patterns.get(consensus);
  if (known) return known;
  const letters = [...consensus].map((letter) => {
    const meant = IUPAC[letter];
    if (meant !== undefined) return meant;
    throw new NorthlightError('recipe/iupac', `"${letter}" in the motif ${consensus} is no IUPAC letter of DNA.`);
  });
  const masks = (words: readonly string[]) =>
    Uint8Array.from(words, (word) => [...word].reduce((mask, letter) => mask | BIT[letter]!, 0));
  const made = { forward: masks(letters), backward: masks(letters.map(reverseComplement).reverse()) };
  patterns.set(consensus, made);
  return made;
}

/** Every exact match of a consensus on either strand, overlaps included, by start; a palindrome matches on both. */
export function findSites(sequence: string, consensus: string): Site[] {
  return findAllSites(sequence, [consensus])[0]!;
}

/** As {@link findSites}, of several motifs: the sequence is read once. */
export function findAllSites(sequence: string, consensuses: readonly string[]): Site[][] {
  const bits = Uint8Array.from(sequence, (letter) => BIT[letter]!);
  return consensuses.map((consensus) => sitesIn(bits, consensus));
}

function sitesIn(bits: Uint8Array, consensus: string): Site[] {
  const { forward, backward } = patternOf(consensus);
  const sites: Site[] = [];
  for (let start = 0; start + forward.length <= bits.length; start++) {
    const end = start + forward.length;
    if (matches(bits, start, forward)) sites.push({ start, end, strand: '+' });
    if (matches(bits, start, backward)) sites.push({ start, end, strand: '-' });
  }
  return sites;
}

function matches(bits: Uint8Array, start: number, masks: Uint8Array): boolean {
  for (let i = 0; i < masks.length; i++) if ((bits[start + i]! & masks[i]!) === 0) return false;
  return true;
}
