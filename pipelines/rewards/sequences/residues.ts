import { NorthlightError } from '#models/errors.ts';

/**
 * A protein in capitals, of the twenty amino acids; a stop at the end is dropped.
 * @throws {NorthlightError} `reward/letter`, `reward/length`.
 */
export function residues(sequence: string): string {
  const letters = sequence.toUpperCase().replace(/\*$/, '');
  const stray = letters.search(/[^ACDEFGHIKLMNPQRSTVWY]/);
  if (stray >= 0) {
    throw new NorthlightError(
      'reward/letter',
      `"${sequence[stray]}" at position ${stray + 1} is not one of the twenty amino acids.`,
      'This is a measure of proteins in the one-letter code.',
    );
  }
  if (letters === '') {
    throw new NorthlightError('reward/length', 'The protein has no residues.', 'Leave empty sequences out.');
  }
  return letters;
}
