import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineSequenceReward } from './define.ts';
import { bases } from './nucleotides.ts';

/**
 * Relative adaptiveness of codons in highly expressed genes of Escherichia coli: Sharp and Li 1987, Nucleic Acids Res. 15:1281,
 * table 1. Methionine and tryptophan have one codon each and are not counted.
 */
const E_COLI: ReadonlyMap<string, number> = new Map(
  `GCT 1 GCC .122 GCA .586 GCG .424  CGT 1 CGC .356 CGA .004 CGG .004 AGA .004 AGG .002  AAC 1 AAT .051  GAC 1 GAT .434
   TGC 1 TGT .5  CAG 1 CAA .124  GAA 1 GAG .259  GGT 1 GGC .724 GGA .01 GGG .019  CAC 1 CAT .291  ATC 1 ATT .185 ATA .003
   CTG 1 CTT .042 CTC .037 CTA .007 TTA .02 TTG .02  AAA 1 AAG .253  TTC 1 TTT .296  CCG 1 CCT .07 CCC .012 CCA .135
   TCT 1 TCC .744 TCA .077 TCG .017 AGT .085 AGC .41  ACC 1 ACT .965 ACA .076 ACG .099  TAC 1 TAT .239
   GTT 1 GTC .066 GTA .495 GTG .221`
    .split(/\s+/)
    .map((word, i, words): [string, number] => [word, Number(words[i + 1])])
    .filter((_, i) => i % 2 === 0),
);
const STOPS = new Set(['TAA', 'TAG', 'TGA']);

export const codonIndex = defineSequenceReward({
  name: 'codon-index',
  description:
    'Codon adaptation index to highly expressed genes of Escherichia coli, 0…1 (Sharp and Li 1987): geometric mean over codons but ATG, TGG and a stop at the end.',
  options: z.strictObject({}),
  open: () => (sequence) => {
    const letters = bases(sequence, 'refuse');
    const refuse = (what: string) =>
      new NorthlightError(
        'reward/length',
        `${what}.`,
        'Give coding sequences: whole codons, from the first to the stop.',
      );
    if (letters.length % 3 !== 0) throw refuse(`Its ${letters.length} bases are not whole codons`);
    const codons = letters.match(/.../g)!;
    const stop = codons.findIndex((codon) => STOPS.has(codon));
    if (stop >= 0 && stop < codons.length - 1) throw refuse(`The codon at position ${stop * 3 + 1} is a stop`);
    const weights = codons.flatMap((codon) => E_COLI.get(codon) ?? []);
    if (weights.length === 0) throw refuse('It has no codon that has a choice');
    return Math.exp(weights.reduce((sum, w) => sum + Math.log(w), 0) / weights.length);
  },
});
