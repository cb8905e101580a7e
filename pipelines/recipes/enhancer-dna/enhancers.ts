import { Rng } from '#models/tensor/rng.ts';
import { BASES, IUPAC, reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import type { Site } from '#pipelines/sequences/sites.ts';
import { drawBackground } from './background.ts';
import { CELLS, type Cell, MOTIFS, type Motif, RULES } from './motifs.ts';

export const ENHANCER_LENGTH = 200;

/** Share of sites from the cell line's own factors; the others are of any. */
const OWN_SHARE = 0.8;
/** Probability that a sequence holds a pair as a rule wants it. */
const PAIR_SHARE = 0.5;
/** Largest number of single sites; from 0 on, all as likely. */
const MOST_SITES = 4;
/** Probability that a letter of a site is any letter: a weak site, which the oracle may not count. */
const DECAY = 0.03;
const TRIES = 40;

export interface Enhancer {
  /** {@link ENHANCER_LENGTH} letters of A, C, G, T. */
  readonly sequence: string;
  /** Whose factors it was written for. */
  readonly cell: Cell;
}

/**
 * Enhancer number `index`: background, often a pair of sites at the distance and orientation of one of the cell line's rules, and
 * up to four single sites, none on top of another. The same (seed, index) always gives the same one.
 */
export function drawEnhancer(seed: number, index: number, cell?: Cell): Enhancer {
  const rng = new Rng(seed).fork('enhancer', index);
  const chosen = cell ?? CELLS[rng.int(CELLS.length)]!;
  let sequence = drawBackground(ENHANCER_LENGTH, rng.fork('background'));
  const taken: Pick<Site, 'start' | 'end'>[] = [];
  const place = (insert: string) => {
    for (let i = 0; i < TRIES; i++) {
      const start = rng.int(ENHANCER_LENGTH - insert.length + 1);
      const end = start + insert.length;
      if (taken.some((t) => start < t.end && t.start < end)) continue;
      taken.push({ start, end });
      // A space keeps the letter that is there.
      const written = [...insert].map((letter, k) => (letter === ' ' ? sequence[start + k]! : letter)).join('');
      sequence = sequence.slice(0, start) + written + sequence.slice(end);
      return;
    }
  };
  if (rng.uniform() < PAIR_SHARE) place(drawPair(chosen, rng));
  const own = MOTIFS.filter((m) => m.weights[CELLS.indexOf(chosen)]! >= 0.5);
  const singles = rng.int(MOST_SITES + 1);
  for (let i = 0; i < singles; i++) {
    place(turned(drawSite(rng.pick(rng.uniform() < OWN_SHARE ? own : MOTIFS), rng), rng));
  }
  return { sequence, cell: chosen };
}

/** Two sites as a rule of the cell line wants them, spaces between. */
function drawPair(cell: Cell, rng: Rng): string {
  const { first, second, gap, strands, order } = rng.pick(RULES.filter((r) => r.cell === cell));
  const motifOf = (name: string) => MOTIFS.find((m) => m.name === name)!;
  const a = drawSite(motifOf(first), rng);
  let b = drawSite(motifOf(second), rng);
  if (strands === 'opposite' || (strands === 'any' && rng.int(2) === 1)) b = reverseComplement(b);
  const between = ' '.repeat(gap[0] + rng.int(gap[1] - gap[0] + 1));
  const pair = order === 'any' && rng.int(2) === 1 ? [b, between, a] : [a, between, b];
  // The whole pair on the other strand keeps distance, order and orientation.
  return rng.int(2) === 0
    ? pair.join('')
    : pair
        .map((s) => (s.startsWith(' ') ? s : reverseComplement(s)))
        .reverse()
        .join('');
}

function drawSite({ consensus }: Motif, rng: Rng): string {
  return [...consensus].map((c) => rng.pick([...(rng.uniform() < DECAY ? BASES : IUPAC[c]!)])).join('');
}

function turned(site: string, rng: Rng): string {
  return rng.int(2) === 0 ? site : reverseComplement(site);
}
