/** The three cell lines of the massively parallel reporter assay of Gosai et al. 2024 (Nature 634:1211), in its order. */
export const CELLS = ['HepG2', 'K562', 'SK-N-SH'] as const;
export type Cell = (typeof CELLS)[number];

/** A transcription factor's binding site. */
export interface Motif {
  readonly name: string;
  /** IUPAC letters, 5′ to 3′; a site may stand on either strand. */
  readonly consensus: string;
  /** What a site adds to the log activity in each of {@link CELLS}; negative for repressors. */
  readonly weights: readonly [hepG2: number, k562: number, skNSh: number];
}

const motif = (name: string, consensus: string, ...weights: [number, number, number]): Motif => ({
  name,
  consensus,
  weights,
});

/**
 * Consensus sites as collections of motifs (JASPAR CORE, HOMER) and the literature give them, shortened to their cores: one word
 * for what is a matrix there. Some from their papers: HNF4A's CAAAGTCCA, which no other nuclear receptor binds (Fang et al. 2012,
 * Nucleic Acids Res. 40:5343). Which factor is at work in which cell line is known biology; the weights are our own choice and
 * make the oracle exact, not true.
 */
export const MOTIFS: readonly Motif[] = [
  // Liver
  motif('HNF1A', 'GTTAATNATTAAC', 1.6, 0, 0),
  motif('HNF4A', 'CAAAGTCCA', 1.5, 0, 0),
  motif('FOXA2', 'TRTTTACW', 1.0, 0, 0.2),
  motif('CEBPA', 'RTTGCGYAAY', 1.3, 0.3, 0),
  motif('ONECUT1', 'TATTGAYTW', 0.9, 0, 0.1),
  motif('PPARA::RXRA', 'AGGTCAAAGGTCA', 1.4, 0.2, 0),
  motif('NR1H4', 'AGGTCANTGACCT', 1.2, 0, 0),
  motif('NR5A2', 'YCAAGGTCA', 1.0, 0, 0),
  motif('HLF', 'RTTAYGTAAY', 1.0, 0.1, 0),
  motif('SREBF1', 'ATCACCCCAC', 0.9, 0.2, 0.1),
  motif('RORA', 'AWNTAGGTCA', 0.8, 0, 0.2),
  motif('PROX1', 'YAAGACGYCTTA', 0.9, 0, 0.2),
  // Blood
  motif('TAL1::TCF3', 'AACAGATGKT', 0, 1.1, 0.2),
  motif('KLF1', 'CCMCRCCCW', 0.1, 1.1, 0),
  motif('NFE2', 'TGCTGAGTCA', 0.3, 1.6, 0.2),
  motif('STAT5A', 'TTCYNRGAA', 0.2, 0.8, 0),
  motif('RUNX1', 'TGTGGTTW', 0, 0.9, 0.1),
  motif('MYB', 'YAACKGCH', 0, 0.8, 0),
  motif('SPI1', 'AGAGGAAGTG', 0, 1.0, 0),
  motif('ELF1', 'AACCCGGAAGT', 0.4, 1.2, 0.2),
  motif('IKZF1', 'TTGGGAAR', 0, 0.6, 0),
  motif('E2F1', 'TTTSGCGC', 0.2, 0.9, 0.3),
  motif('GFI1B', 'AAATCWCWGC', 0, -1.4, 0),
  motif('ZBTB7A', 'CGACCACCGA', -0.2, -1.2, 0),
  // Nerve
  motif('PHOX2B', 'TAATYNRATTA', 0, 0, 1.6),
  motif('ASCL1', 'GCAGCTGY', 0, 0, 1.2),
  motif('HAND1::TCF3', 'GTCTGGMAT', 0, 0.1, 1.2),
  motif('ISL2', 'GCACTTAA', 0, 0, 1.0),
  motif('MEIS2', 'TGACAGST', 0.1, 0.1, 0.8),
  motif('TBX2', 'AGGTGTGA', 0.1, 0, 0.8),
  motif('TFAP2B', 'GCCYNRGGC', 0, 0, 0.9),
  motif('SOX11', 'AACAAWGR', 0, 0, 0.9),
  motif('POU3F2', 'ATGCAAAT', 0, 0, 1.0),
  motif('PBX3', 'TGATTGATGR', 0.1, 0, 1.0),
  motif('EBF1', 'TCCCNNGGGA', 0, 0.1, 0.8),
  motif('REST', 'TTCAGCACCANGGACAG', -1.5, -1.5, -0.8),
  // Shared
  motif('GATA', 'AGATAAGR', 0.3, 1.2, 0.9),
  motif('AP-1', 'TGASTCA', 0.6, 0.5, 0.7),
  motif('SP1', 'GGGGCGGGG', 0.4, 0.4, 0.4),
  motif('NFY', 'CCAATCAG', 0.3, 0.4, 0.3),
];

/** Two sites that work together. */
export interface Rule {
  readonly cell: Cell;
  readonly first: string;
  readonly second: string;
  /** Letters between the two sites. */
  readonly gap: readonly [min: number, max: number];
  /** Whether both must read the same way. */
  readonly strands: 'same' | 'opposite' | 'any';
  /** `before`: the second follows the first in the direction in which the first reads. */
  readonly order: 'before' | 'any';
  /** Added to the log activity of the cell line, once. */
  readonly bonus: number;
}

const rule = (
  cell: Cell,
  first: string,
  second: string,
  gap: readonly [number, number],
  strands: Rule['strands'],
  order: Rule['order'],
  bonus: number,
): Rule => ({ cell, first, second, gap, strands, order, bonus });

/**
 * Spacing and orientation. An E-box (CAGGTG) about nine letters before GATA is the site of the TAL1 complex in red blood cells
 * (Wadman et al. 1997, EMBO J. 16:3145); CAGATG, taken here, is in its place too (Cohen-Kaminsky et al. 1998, EMBO J. 17:5151).
 * The other rules are made in its image.
 */
export const RULES: readonly Rule[] = [
  rule('HepG2', 'HNF4A', 'HNF1A', [4, 30], 'any', 'any', 1.2),
  rule('HepG2', 'FOXA2', 'HNF4A', [2, 14], 'same', 'before', 1.0),
  rule('HepG2', 'CEBPA', 'FOXA2', [5, 25], 'opposite', 'any', 0.9),
  rule('K562', 'TAL1::TCF3', 'GATA', [6, 9], 'same', 'before', 1.5),
  rule('K562', 'KLF1', 'GATA', [5, 35], 'any', 'any', 0.8),
  rule('K562', 'NFE2', 'RUNX1', [8, 20], 'same', 'any', 0.8),
  rule('SK-N-SH', 'PHOX2B', 'HAND1::TCF3', [3, 20], 'any', 'any', 1.2),
  rule('SK-N-SH', 'ASCL1', 'PHOX2B', [4, 16], 'same', 'before', 1.0),
  rule('SK-N-SH', 'PBX3', 'MEIS2', [0, 6], 'same', 'before', 1.0),
];
