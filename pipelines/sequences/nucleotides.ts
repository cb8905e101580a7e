/** The four bases of DNA, in the order of every table and one-hot row of the project. */
export const BASES = 'ACGT';

/** Bases that each letter of the IUPAC code stands for: NC-IUB, Cornish-Bowden 1985, Nucleic Acids Res. 13:3021, table 1. */
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

/** The letter that stands for the complements of a letter's bases: derived, so that it cannot differ from {@link IUPAC}. */
const COMPLEMENT: Readonly<Record<string, string>> = (() => {
  const letterOf = new Map(Object.entries(IUPAC).map(([letter, meant]) => [meant, letter]));
  const partnerOf = (base: string) => BASES[3 - BASES.indexOf(base)]!;
  return Object.fromEntries(
    Object.entries(IUPAC).map(([letter, meant]) => [letter, letterOf.get([...meant].map(partnerOf).sort().join(''))!]),
  );
})();

/** The opposite strand, read in its own direction, 5′ to 3′. IUPAC letters of DNA in capitals. */
export function reverseComplement(letters: string): string {
  let result = '';
  for (let i = letters.length - 1; i >= 0; i--) result += COMPLEMENT[letters[i]!]!;
  return result;
}
