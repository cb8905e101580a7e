import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { findAllSites, placesOf } from '#pipelines/sequences/sites.ts';
import { defineSequenceReward } from './define.ts';
import { ENZYMES } from './enzymes.ts';
import { bases } from './nucleotides.ts';

/** The site of an enzyme, or a site that is written out. */
function siteOf(enzyme: string): string {
  const known = Object.keys(ENZYMES).find((name) => name.toLowerCase() === enzyme.toLowerCase());
  if (known !== undefined) return ENZYMES[known]!;
  if (/^[ACGTRYSWKMBDHVN]{4,}$/i.test(enzyme)) return enzyme.toUpperCase();
  throw new NorthlightError(
    'reward/option',
    `Reward "restriction-sites" knows no enzyme "${enzyme}".`,
    suggestion(enzyme, Object.keys(ENZYMES)) || 'Write out its site of four or more IUPAC letters instead.',
  );
}

/** One of a site and its other strand, so that naming both counts once. */
const canonical = (site: string): string => [site, reverseComplement(site)].sort()[0]!;

export const restrictionSites = defineSequenceReward({
  name: 'restriction-sites',
  description: 'Number of recognition sites of the named enzymes on both strands (REBASE); a palindrome counts once.',
  options: z.strictObject({
    enzymes: z.string().min(1).describe('names or sites joined by +, such as EcoRI+BsaI+GGATCC'),
  }),
  positional: 'enzymes',
  higherIsBetter: false,
  open: ({ enzymes }) => {
    const sites = [...new Set(enzymes.split('+').map((name) => canonical(siteOf(name.trim()))))];
    return (sequence) => findAllSites(bases(sequence, 'pass'), sites).reduce((sum, found) => sum + placesOf(found), 0);
  },
});
