/** One position of a sequence logo. Heights in bits. */
export interface LogoColumn {
  /** Information content: the height of the stack. */
  readonly bits: number;
  /** Sequences that have a letter of the alphabet there. */
  readonly count: number;
  /** Letters from the bottom up, smallest first; those that never stand there are left out. */
  readonly stack: readonly { readonly letter: string; readonly height: number }[];
}

/**
 * Schneider and Stephens 1990 (Nucleic Acids Res. 18:6097): R = log₂ s − (H + e(n)), each letter as high as its share of R; the
 * small-sample correction is e(n) = (s − 1) / (2·ln 2·n). R below 0 is 0. Letters outside the alphabet are not counted, and sequences
 * are aligned at their first letter.
 */
export function logoOf(sequences: readonly string[], alphabet: string): LogoColumn[] {
  const s = alphabet.length;
  const length = sequences.reduce((longest, letters) => Math.max(longest, letters.length), 0);
  const counts = new Uint32Array(length * s);
  const place = new Map([...alphabet].map((letter, k) => [letter.charCodeAt(0), k]));
  for (const letters of sequences) {
    for (let i = 0; i < letters.length; i++) {
      const k = place.get(letters.charCodeAt(i));
      if (k !== undefined) counts[i * s + k]! += 1;
    }
  }
  return Array.from({ length }, (_, i) => columnOf(counts.subarray(i * s, (i + 1) * s), alphabet));
}

function columnOf(counts: Uint32Array, alphabet: string): LogoColumn {
  const s = alphabet.length;
  const count = counts.reduce((a, b) => a + b, 0);
  if (count === 0) return { bits: 0, count, stack: [] };
  const shares = Array.from(counts, (c) => c / count);
  const entropy = shares.reduce((h, p) => (p === 0 ? h : h - p * Math.log2(p)), 0);
  const bits = Math.max(0, Math.log2(s) - (entropy + (s - 1) / (2 * Math.LN2 * count)));
  const stack = shares
    .flatMap((p, k) => (p === 0 ? [] : [{ letter: alphabet[k]!, height: p * bits }]))
    .sort((a, b) => a.height - b.height);
  return { bits, count, stack };
}
