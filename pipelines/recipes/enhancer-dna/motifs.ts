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
 * Consensus sites, shortened to their cores: one word for what is a matrix in collections. Some are from papers: HNF4A's CAAAGTCCA,
 * which no other nuclear receptor binds (Fang et al. 2012, Nucleic Acids Res. 40:5343). Which factor is at work in which cell line is
 * known biology; the weights are our own choice and make the oracle exact, not true.
 *
 * Checked against the count matrices of JASPAR CORE 2020 (Fornes et al. 2020, Nucleic Acids Res. 48:D87; kept with the test): 26 of
 * the 40 reach 85 % of the best log-odds that their factor's matrix has over the same columns, a letter of several bases taken at
 * their mean, MEIS2 with one letter beyond its matrix. The other 14 stay as models were trained on them:
 * - seven fit another version of their factor's matrix: HLF MA0043.2, CEBPA MA0102.2 (one letter beyond it), EBF1 MA0154.3, ELF1
 *   MA0473.2, PHOX2B MA0681.1, ZBTB7A MA0750.1 (that of 2020 is a site of the ETS family, CCGGAAGT), SOX11 MA0869.2 (that of 2020 is a
 *   pair of sites);
 * - three fit the matrix of another source, partner or relative: IKZF1 HOCOMOCO v10's (JASPAR's has ACAGGAA), NFE2 that of MAF::NFE2
 *   (MA0501.1; alone TGACTCAT), PBX3 that of PBX1 (MA0070.1; its own has TGAGTGACAGG);
 * - four fit none that was found: besides the strongest word of a matrix they allow letters that it has rarely. MYB (75 %; the core of
 *   MA0100.3 is CAACTG), ONECUT1 (77 %; T in place of its Y, and MA0679.1 has a Y for the T before GA), STAT5A (70 %; TTCCARGAA),
 *   TFAP2B (78 %; GCCYSAGGC).
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
