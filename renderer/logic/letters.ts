/** Letters of one colour of a sequence, with blanks where others stand: five texts over one another in place of hundreds of elements. */
export interface LetterLayer {
  /** Ends of class names: `letter-a` … `letter-x`. */
  readonly colour: 'a' | 'c' | 'g' | 't' | 'x';
  readonly text: string;
}

export type Molecule = 'dna' | 'rna' | 'protein' | 'other';

const BASES = { A: 'a', C: 'c', G: 'g', T: 't', U: 't' } as const;
/** By what side chains are like, as WebLogo does (Crooks et al. 2004): polar, basic, acidic, hydrophobic. */
const RESIDUES = [
  ['GSTYC', 'a'],
  ['NQ', 'g'],
  ['KRH', 'c'],
  ['DE', 't'],
] as const;

/** The colour of a letter; the letter itself says what it is. */
export function letterColour(letter: string, molecule: Molecule): LetterLayer['colour'] {
  const upper = letter.toUpperCase();
  if (molecule === 'protein') return RESIDUES.find(([letters]) => letters.includes(upper))?.[1] ?? 'x';
  return BASES[upper as keyof typeof BASES] ?? 'x';
}

/** The layers of a sequence that are not blank. All have its length. */
export function letterLayers(letters: string, molecule: Molecule): LetterLayer[] {
  const layers = new Map<LetterLayer['colour'], string[]>();
  for (let i = 0; i < letters.length; i++) {
    const colour = letterColour(letters[i]!, molecule);
    const layer = layers.get(colour) ?? new Array<string>(letters.length).fill(' ');
    layer[i] = letters[i]!;
    layers.set(colour, layer);
  }
  return [...layers].map(([colour, text]) => ({ colour, text: text.join('') }));
}
