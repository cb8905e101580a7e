import { z } from 'zod';
import { defineSequenceReward } from './define.ts';

export const homopolymer = defineSequenceReward({
  name: 'homopolymer',
  description: 'Length of the longest run of one letter, in letters; any alphabet.',
  options: z.strictObject({}),
  higherIsBetter: false,
  open: () => (sequence) => {
    let longest = 0;
    let run = 0;
    for (let i = 0; i < sequence.length; i++) {
      const same = i > 0 && sequence[i]!.toUpperCase() === sequence[i - 1]!.toUpperCase();
      run = same ? run + 1 : 1;
      longest = Math.max(longest, run);
    }
    return longest;
  },
});
