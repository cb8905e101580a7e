import { findAllSites, placesOf, type Site } from '#pipelines/sequences/sites.ts';
import { CELLS, type Cell, MOTIFS, RULES, type Rule } from './motifs.ts';

/** Log activity of DNA without a single site. */
export const BASELINE = -0.5;
/** Sites of one motif that count; more add nothing. */
export const COUNTED_SITES = 2;
/** Log activity that no sequence passes. */
export const CEILING = 8;

const CONSENSUSES = MOTIFS.map((m) => m.consensus);

/** Log activity in each cell line. */
export type Activity = Readonly<Record<Cell, number>>;

/**
 * The truth of this world: log activity of a sequence of A, C, G, T in the three cell lines, exactly. With n_m sites of motif m
 * (either strand, places counted once), weights w and rules r,
 *
 *   score = baseline + Σ_m w_m · min(n_m, 2) + Σ_r bonus_r · [r holds],   activity = 8 · tanh(score / 8).
 *
 * A sequence and its reverse complement have the same activity.
 */
export function activityOf(sequence: string): Activity {
  const found = findAllSites(sequence, CONSENSUSES);
  const sites = new Map(MOTIFS.map(({ name }, m) => [name, found[m]!]));
  const score = CELLS.map((cell, c) => {
    let sum = BASELINE;
    for (const { name, weights } of MOTIFS) {
      sum += weights[c]! * Math.min(placesOf(sites.get(name)!), COUNTED_SITES);
    }
    for (const rule of RULES) {
      if (rule.cell === cell && holds(rule, sites.get(rule.first)!, sites.get(rule.second)!)) sum += rule.bonus;
    }
    return CEILING * Math.tanh(sum / CEILING);
  });
  return { HepG2: score[0]!, K562: score[1]!, 'SK-N-SH': score[2]! };
}

/** Whether some two sites stand as the rule says. */
export function holds({ gap, strands, order }: Rule, first: readonly Site[], second: readonly Site[]): boolean {
  return first.some((a) =>
    second.some((b) => {
      const follows = b.start >= a.end;
      const between = follows ? b.start - a.end : a.start - b.end;
      if (between < gap[0] || between > gap[1]) return false;
      if (strands !== 'any' && (a.strand === b.strand) !== (strands === 'same')) return false;
      return order === 'any' || follows === (a.strand === '+');
    }),
  );
}
