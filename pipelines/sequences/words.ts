import { BASES } from './nucleotides.ts';

/**
 * How often each word of k bases stands in a sequence, overlaps included, in the order of the alphabet, added to `counts`,
 * `[4ᵏ]`. Words with letters that are no bases are not counted.
 */
export function addWordCounts(sequence: string, k: number, counts: Float64Array): Float64Array {
  let code = 0;
  let known = 0;
  for (const letter of sequence) {
    const digit = BASES.indexOf(letter);
    known = digit < 0 ? 0 : known + 1;
    code = digit < 0 ? 0 : (code * 4 + digit) % counts.length;
    if (known >= k) counts[code]! += 1;
  }
  return counts;
}
