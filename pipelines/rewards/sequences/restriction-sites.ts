import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineSequenceReward } from './define.ts';
import { ENZYMES } from './enzymes.ts';
import { bases, IUPAC, reverseComplement } from './nucleotides.ts';

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

/** Matches at every start, overlapping ones too; only A, C, G and T of the sequence match. */
const finder = (site: string) => new RegExp(`(?=${[...site].map((letter) => `[${IUPAC[letter]!}]`).join('')})`, 'g');

export const restrictionSites = defineSequenceReward({
  name: 'restriction-sites',
  description: 'Number of recognition sites of the named enzymes on both strands (REBASE); a palindrome counts once.',
  options: z.strictObject({
    enzymes: z.string().min(1).describe('names or sites joined by +, such as EcoRI+BsaI+GGATCC'),
  }),
  positional: 'enzymes',
  higherIsBetter: false,
  open: ({ enzymes }) => {
    const sites = new Set(enzymes.split('+').map((name) => siteOf(name.trim())));
    const finders = [...new Set([...sites].flatMap((site) => [site, reverseComplement(site)]))].map(finder);
    return (sequence) => {
      const letters = bases(sequence, 'pass');
      return finders.reduce((sum, find) => sum + (letters.match(find)?.length ?? 0), 0);
    };
  },
});
