/** pKa of Bjellqvist et al. 1993 and 1994 (Electrophoresis 14:1023, 15:529), as ExPASy's Compute pI uses them. */
const POSITIVE: Readonly<Record<string, number>> = { K: 10, R: 12, H: 5.98 };
const NEGATIVE: Readonly<Record<string, number>> = { D: 4.05, E: 4.45, C: 9, Y: 10 };
const AMINO_END: Readonly<Record<string, number>> = {
  A: 7.59,
  M: 7,
  S: 6.93,
  P: 8.36,
  T: 6.82,
  V: 7.44,
  E: 7.7,
};
const OTHER_AMINO_END = 7.5;
const CARBOXYL_END: Readonly<Record<string, number>> = { D: 4.55, E: 4.75 };
const OTHER_CARBOXYL_END = 3.55;

/** Net charge of a protein by Henderson and Hasselbalch, in elementary charges; strictly decreasing in the pH. */
export function chargeAt(letters: string, pH: number): number {
  const bound = (pKa: number) => 1 / (1 + 10 ** (pH - pKa));
  let charge = bound(AMINO_END[letters[0]!] ?? OTHER_AMINO_END);
  charge -= 1 - bound(CARBOXYL_END[letters.at(-1)!] ?? OTHER_CARBOXYL_END);
  for (const letter of letters) {
    const base = POSITIVE[letter];
    const acid = NEGATIVE[letter];
    if (base !== undefined) charge += bound(base);
    if (acid !== undefined) charge -= 1 - bound(acid);
  }
  return charge;
}
