import { z } from 'zod';
import { defineSequenceReward } from './define.ts';
import { bases } from './nucleotides.ts';

export const gc = defineSequenceReward({
  name: 'gc',
  description: 'Share of G and C among the letters A, C, G, T and U: 0…1. A sequence of none of them has 0.',
  options: z.strictObject({}),
  open: () => (sequence) => {
    const letters = bases(sequence, 'pass');
    const strong = letters.match(/[GC]/g)?.length ?? 0;
    const weak = letters.match(/[AT]/g)?.length ?? 0;
    return strong === 0 ? 0 : strong / (strong + weak);
  },
});
