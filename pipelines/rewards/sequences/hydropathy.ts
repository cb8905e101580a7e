import { z } from 'zod';
import { defineSequenceReward } from './define.ts';
import { residues } from './residues.ts';

/** Kyte and Doolittle 1982, J. Mol. Biol. 157:105, table 2. */
const SCALE: Readonly<Record<string, number>> = {
  A: 1.8,
  R: -4.5,
  N: -3.5,
  D: -3.5,
  C: 2.5,
  Q: -3.5,
  E: -3.5,
  G: -0.4,
  H: -3.2,
  I: 4.5,
  L: 3.8,
  K: -3.9,
  M: 1.9,
  F: 2.8,
  P: -1.6,
  S: -0.8,
  T: -0.7,
  W: -0.9,
  Y: -1.3,
  V: 4.2,
};

export const hydropathy = defineSequenceReward({
  name: 'hydropathy',
  description:
    'Mean hydropathy of a protein (GRAVY; Kyte and Doolittle 1982): −4.5 all arginine … 4.5 all isoleucine; positive is hydrophobic.',
  options: z.strictObject({}),
  open: () => (sequence) => {
    const letters = residues(sequence);
    return [...letters].reduce((sum, letter) => sum + SCALE[letter]!, 0) / letters.length;
  },
});
