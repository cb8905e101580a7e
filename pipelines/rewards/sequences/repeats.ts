import { z } from 'zod';
import { defineSequenceReward } from './define.ts';

/** Whether some substring of `length` letters starts at two places. */
function repeated(letters: string, length: number): boolean {
  const seen = new Set<string>();
  for (let start = 0; start + length <= letters.length; start++) {
    const word = letters.slice(start, start + length);
    if (seen.has(word)) return true;
    seen.add(word);
  }
  return false;
}

export const repeats = defineSequenceReward({
  name: 'repeats',
  description:
    'Length of the longest substring that occurs at two places (they may overlap), in letters; 0 when shorter than the least length. Any alphabet, direct repeats.',
  options: z.strictObject({
    least: z.coerce.number().int().min(1).default(1).describe('shorter repeats count as none'),
  }),
  positional: 'least',
  higherIsBetter: false,
  open:
    ({ least }) =>
    (sequence) => {
      const letters = sequence.toUpperCase();
      // Every part of a repeat is a repeat: the lengths that repeat are 1 … longest.
      let longest = 0;
      let tooLong = letters.length;
      while (tooLong - longest > 1) {
        const middle = (longest + tooLong) >> 1;
        if (repeated(letters, middle)) longest = middle;
        else tooLong = middle;
      }
      return longest >= least ? longest : 0;
    },
});
