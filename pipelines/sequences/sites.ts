import { NorthlightError } from '#models/errors.ts';
import { BASES, IUPAC, reverseComplement } from './nucleotides.ts';

export interface Site {
  /** First letter of the site on the given strand, from 0. */
  readonly start: number;
  readonly end: number;
  readonly strand: '+' | '-';
}

/** One bit per base, A 1, C 2, G 4, T 8: a site matches where every base's bit is in the mask of its IUPAC letter. */
const BIT: ReadonlyMap<string, number> = new Map([...BASES].map((base, i) => [base, 1 << i]));

interface Pattern {
  readonly forward: Uint8Array;
  /** Of the other strand, read on this one. */
  readonly backward: Uint8Array;
}

const patterns = new Map<string, Pattern>();

function patternOf(consensus: string): Pattern {
  const known = patterns.get(consensus);
  if (known) return known;
  const stray = [...consensus].find((letter) => IUPAC[letter] === undefined);
  if (stray !== undefined) {
    throw new NorthlightError('sequence/iupac', `"${stray}" in the motif ${consensus} is no IUPAC letter of DNA.`);
  }
  const masks = (letters: string) =>
    Uint8Array.from(letters, (letter) => [...IUPAC[letter]!].reduce((mask, base) => mask | BIT.get(base)!, 0));
  const made = { forward: masks(consensus), backward: masks(reverseComplement(consensus)) };
  patterns.set(consensus, made);
  return made;
}

/**
 * Every exact match of a consensus on either strand, overlaps included, by start; a palindrome matches on both. Letters of the
 * sequence that are none of A, C, G, T match nothing.
 */
export function findSites(sequence: string, consensus: string): Site[] {
  return findAllSites(sequence, [consensus])[0]!;
}

/** As {@link findSites}, of several motifs: the sequence is read once. */
export function findAllSites(sequence: string, consensuses: readonly string[]): Site[][] {
  const bits = Uint8Array.from(sequence, (letter) => BIT.get(letter) ?? 0);
  return consensuses.map((consensus) => sitesIn(bits, consensus));
}

/** At how many places sites of one motif stand: a palindrome, found on both strands, is one. */
export function placesOf(sites: readonly Site[]): number {
  return new Set(sites.map((site) => site.start)).size;
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
