import { NorthlightError } from '#models/errors.ts';

/** Bases that each letter of the IUPAC code stands for (NC-IUB 1984). */
export const IUPAC: Readonly<Record<string, string>> = {
  A: 'A',
  C: 'C',
  G: 'G',
  T: 'T',
  R: 'AG',
  Y: 'CT',
  S: 'CG',
  W: 'AT',
  K: 'GT',
  M: 'AC',
  B: 'CGT',
  D: 'AGT',
  H: 'ACT',
  V: 'ACG',
  N: 'ACGT',
};

const COMPLEMENT: Readonly<Record<string, string>> = Object.fromEntries(
  [...'ACGTRYSWKMBDHVN'].map((letter, i) => [letter, 'TGCAYRSWMKVHDBN'[i]!]),
);

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

/** The opposite strand, read in its own direction. IUPAC letters in capitals. */
export function reverseComplement(letters: string): string {
  let result = '';
  for (let i = letters.length - 1; i >= 0; i--) result += COMPLEMENT[letters[i]!]!;
  return result;
}
