import { MOTIFS } from '#pipelines/recipes/enhancer-dna/motifs.ts';
import { ENZYMES } from '#pipelines/rewards/sequences/enzymes.ts';
import { IUPAC, reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { findAllSites } from '#pipelines/sequences/sites.ts';
import { consensusCounts, extremes, logOdds, scan } from '#pipelines/sequences/weight-matrix.ts';
import type { SequenceTracks } from './sequence-contract.ts';

/** A hit has this share of the most log-odds that its motif can have. */
const ENOUGH = 0.8;
/** Positions over which G and C are counted. */
const GC_WINDOW = 20;
/** Enzymes whose sites are shorter cut nearly everything. */
const SHORTEST_SITE = 6;

const MATRICES = MOTIFS.map(({ name, consensus }) => {
  const weights = logOdds(consensusCounts(consensus));
  return { name, consensus, weights, best: extremes(weights)[0] };
});

const CUTTERS = Object.entries(ENZYMES).filter(
  ([, site]) => [...site].filter((letter) => IUPAC[letter]!.length === 1).length >= SHORTEST_SITE,
);

/**
 * Motifs of enhancers (on both strands, by weight matrices of their consensus), restriction sites and GC along a sequence of DNA or
 * RNA. Motifs and enzymes without a hit are left out; a palindromic site is told of once.
 */
export function tracksOf(sequence: string): SequenceTracks {
  const letters = sequence.toUpperCase().replaceAll('U', 'T');
  const isDna = /^[ACGTRYSWKMBDHVN]*$/.test(letters);
  if (!isDna) return { motifs: [], enzymes: [], gc: { window: GC_WINDOW, values: [] } };
  const backward = reverseComplement(letters);
  const motifs = MATRICES.map(({ name, consensus, weights, best }) => {
    const width = weights.length;
    const hitsOn = (strand: '+' | '-', text: string) =>
      scan(text, weights).flatMap((bits, at) => {
        if (bits < ENOUGH * best - 1e-9) return [];
        const start = strand === '+' ? at : letters.length - width - at;
        return [{ start, end: start + width, strand, bits }];
      });
    const hits = [...hitsOn('+', letters), ...hitsOn('-', backward)].sort((a, b) => a.start - b.start);
    return { name, consensus, best, hits };
  });
  const sites = findAllSites(
    letters,
    CUTTERS.map(([, site]) => site),
  );
  const enzymes = CUTTERS.map(([name, site], i) => {
    const palindrome = site === reverseComplement(site);
    return { name, site, hits: sites[i]!.filter(({ strand }) => !palindrome || strand === '+') };
  });
  return {
    motifs: motifs.filter(({ hits }) => hits.length > 0),
    enzymes: enzymes.filter(({ hits }) => hits.length > 0),
    gc: { window: GC_WINDOW, values: gcAlong(letters) },
  };
}

/** Share of G and C in the window around each position, cut off at the ends. */
function gcAlong(letters: string): number[] {
  const before = [0];
  for (const letter of letters) before.push(before.at(-1)! + (letter === 'G' || letter === 'C' ? 1 : 0));
  const half = GC_WINDOW / 2;
  return Array.from(letters, (_, i) => {
    const from = Math.max(0, i - half);
    const to = Math.min(letters.length, i + half);
    return (before[to]! - before[from]!) / (to - from);
  });
}
