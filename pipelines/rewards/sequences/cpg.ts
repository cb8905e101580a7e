import { z } from 'zod';
import { defineSequenceReward } from './define.ts';
import { bases } from './nucleotides.ts';

/** Gardiner-Garden and Frommer 1987, J. Mol. Biol. 196:261: number of CpG × length / (number of C × number of G). */
export const cpg = defineSequenceReward({
  name: 'cpg',
  description:
    'CpG observed over expected (Gardiner-Garden and Frommer 1987): about 0.2 in vertebrate genomes, above 0.6 in CpG islands; 0 without C or G.',
  options: z.strictObject({}),
  open: () => (sequence) => {
    const letters = bases(sequence, 'pass');
    const count = (what: RegExp) => letters.match(what)?.length ?? 0;
    const expected = (count(/C/g) * count(/G/g)) / letters.length;
    return expected === 0 ? 0 : count(/CG/g) / expected;
  },
});
