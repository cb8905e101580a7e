import { z } from 'zod';
import { defineSequenceReward } from './define.ts';
import { chargeAt } from './ionisation.ts';
import { residues } from './residues.ts';

export const isoelectricPoint = defineSequenceReward({
  name: 'isoelectric-point',
  description: 'pH at which a protein has no net charge, 0…14 (pKa of Bjellqvist et al. 1993).',
  options: z.strictObject({}),
  open: () => (sequence) => {
    const letters = residues(sequence);
    let [low, high] = [0, 14];
    while (high - low > 1e-6) {
      const middle = (low + high) / 2;
      if (chargeAt(letters, middle) > 0) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  },
});
