import { NorthlightError } from '#models/errors.ts';

/**
 * A nucleotide sequence in capitals with T for U. `ambiguous` letters of the IUPAC code are passed on or refused.
 * @throws {NorthlightError} `reward/letter`.
 */
export function bases(sequence: string, ambiguous: 'pass' | 'refuse'): string {
  const letters = sequence.toUpperCase().replaceAll('U', 'T');
  const stray = letters.search(ambiguous === 'pass' ? /[^ACGTRYSWKMBDHVN]/ : /[^ACGT]/);
  if (stray < 0) return letters;
  throw new NorthlightError(
    'reward/letter',
    `"${sequence[stray]}" at position ${stray + 1} is not a ${ambiguous === 'pass' ? 'letter of nucleotides' : 'base'}.`,
    ambiguous === 'pass'
      ? 'Sequences of DNA and RNA have A, C, G, T or U, and IUPAC letters.'
      : 'It needs A, C, G, T or U alone.',
  );
}
