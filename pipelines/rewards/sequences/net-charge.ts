import { z } from 'zod';
import { defineSequenceReward } from './define.ts';
import { chargeAt } from './ionisation.ts';
import { residues } from './residues.ts';

export const netCharge = defineSequenceReward({
  name: 'net-charge',
  description:
    'Net charge of a protein at a pH, in elementary charges (Henderson and Hasselbalch, pKa of Bjellqvist et al. 1993).',
  options: z.strictObject({ pH: z.coerce.number().min(0).max(14).default(7).describe('0 to 14') }),
  positional: 'pH',
  open:
    ({ pH }) =>
    (sequence) =>
      chargeAt(residues(sequence), pH),
});
