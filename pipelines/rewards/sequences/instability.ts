import { z } from 'zod';
import { defineSequenceReward } from './define.ts';
import { residues } from './residues.ts';

/**
 * Instability weights of dipeptides: Guruprasad, Reddy and Pandit 1990, Protein Eng. 4:155, table III. The first residue, then
 * the second with its weight; those that are not named have 1.
 */
const WEIGHTS: ReadonlyMap<string, number> = new Map(
  `A: C44.94 D-7.49 H-7.49 P20.26
   C: D20.26 H33.60 M33.60 L20.26 Q-6.54 P20.26 T33.60 W24.68 V-6.54
   E: C44.94 E33.60 D20.26 I20.26 H-6.54 Q20.26 P20.26 S20.26 W-14.03
   D: F-6.54 K-7.49 S20.26 R-6.54 T-14.03
   G: A-7.49 E-6.54 G13.34 I-7.49 K-7.49 N-7.49 T-7.49 W13.34 Y-7.49
   F: D13.34 K-14.03 P20.26 Y33.601
   I: E44.94 H13.34 K-7.49 L20.26 P-1.88 V-7.49
   H: G-9.37 F-9.37 I44.94 K24.68 N24.68 P-1.88 T-6.54 W-1.88 Y44.94
   K: G-7.49 I-7.49 M33.60 L-7.49 Q24.64 P-6.54 R33.60 V-7.49
   M: A13.34 H58.28 M-1.88 Q-6.54 P44.94 S44.94 R-6.54 T-1.88 Y24.68
   L: K-7.49 Q33.60 P20.26 R20.26 W24.68
   N: C-1.88 G-14.03 F-14.03 I44.94 K24.68 Q-6.54 P-1.88 T-7.49 W-9.37
   Q: C-6.54 E20.26 D20.26 F-6.54 Q20.26 P20.26 S44.94 V-6.54 Y-6.54
   P: A20.26 C-6.54 E18.38 D-6.54 F20.26 M-6.54 Q20.26 P20.26 S20.26 R-6.54 W-1.88 V20.26
   S: C33.60 E20.26 Q20.26 P44.94 S20.26 R20.26
   R: G-7.49 H20.26 N13.34 Q20.26 P20.26 S44.94 R58.28 W58.28 Y-6.54
   T: E20.26 G-7.49 F13.34 N-14.03 Q-6.54 W-14.03
   W: A-14.03 G-9.37 H24.68 M24.68 L13.34 N13.34 T-14.03 V-7.49
   V: D-14.03 G-7.49 K-1.88 P20.26 T-7.49 Y-6.54
   Y: A24.68 E-6.54 D24.68 G-7.49 H13.34 M44.94 P13.34 R-15.91 T-7.49 W-9.37 Y13.34`
    .split('\n')
    .flatMap((line) => {
      const [first, rest] = line.trim().split(': ') as [string, string];
      return rest.split(' ').map((entry): [string, number] => [first + entry[0]!, Number(entry.slice(1))]);
    }),
);

export const instability = defineSequenceReward({
  name: 'instability',
  description: 'Instability index of a protein (Guruprasad et al. 1990): above 40 is called unstable in the test tube.',
  options: z.strictObject({}),
  higherIsBetter: false,
  open: () => (sequence) => {
    const letters = residues(sequence);
    let sum = 0;
    for (let i = 0; i + 1 < letters.length; i++) sum += WEIGHTS.get(letters.slice(i, i + 2)) ?? 1;
    return (10 / letters.length) * sum;
  },
});
