import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { CONSENSUS_SITES, consensusCounts, extremes, logOdds, scan } from '#pipelines/sequences/weight-matrix.ts';
import { defineSequenceReward } from './define.ts';
import { type Motif, readMotifs } from './motif-file.ts';
import { bases } from './nucleotides.ts';

function motifOf({ consensus, file, name }: { consensus?: string; file?: string; name?: string }): Motif {
  if ((consensus === undefined) === (file === undefined)) {
    throw new NorthlightError(
      'reward/option',
      'Reward "motif" takes either a consensus or a file.',
      'Write motif:TATAWAW or motif:file=PATH, and name=… for one of several motifs of a file.',
    );
  }
  if (consensus !== undefined) {
    const counts = consensusCounts(bases(consensus, 'pass'));
    return { name: consensus, counts, sites: CONSENSUS_SITES };
  }
  const motifs = readMotifs(file!);
  const found = name === undefined ? motifs : motifs.filter((m) => m.name.split(/\s+/).includes(name));
  if (found.length === 1) return found[0]!;
  const names = motifs.map((m) => m.name.split(/\s+/)[0]!);
  throw new NorthlightError(
    'reward/option',
    name === undefined
      ? `${file} holds ${motifs.length} motifs: ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}.`
      : `${file} has ${found.length === 0 ? 'no motif' : 'several motifs'} "${name}".`,
    name === undefined ? 'Name one of them: motif:file=PATH,name=…' : suggestion(name, names),
  );
}

/** Stormo 2000, Bioinformatics 16:16: log-odds of a position weight matrix against even bases. */
export const motif = defineSequenceReward({
  name: 'motif',
  description:
    'Best log-odds of a motif (IUPAC consensus, JASPAR or MEME file) against even bases, in bits; with count=true, how many starts reach the threshold. A sequence that is too short has the worst possible score, or none.',
  options: z.strictObject({
    consensus: z
      .string()
      .regex(/^[ACGTURYSWKMBDHVN]+$/i, 'must be letters of the IUPAC code of nucleotides')
      .optional()
      .describe('such as TATAWAW'),
    file: z.string().min(1).optional().describe('JASPAR or minimal MEME file'),
    name: z.string().min(1).optional().describe('which motif of the file'),
    count: z.stringbool().default(false).describe('counts starts instead'),
    threshold: z.coerce.number().optional().describe('bits a counted start has; without it 80% of the best possible'),
    strands: z.enum(['both', 'one']).default('both').describe('both or one'),
  }),
  positional: 'consensus',
  open: ({ count, threshold, strands, consensus, file, name }) => {
    const weights = logOdds(
      motifOf({
        ...(consensus === undefined ? {} : { consensus }),
        ...(file === undefined ? {} : { file }),
        ...(name === undefined ? {} : { name }),
      }).counts,
    );
    const [most, least] = extremes(weights);
    const enough = threshold ?? 0.8 * most;
    return (sequence) => {
      const letters = bases(sequence, 'pass');
      const forward = scan(letters, weights);
      const backward = strands === 'both' ? scan(reverseComplement(letters), weights).reverse() : forward;
      // A start counts once, also where both strands have the motif, as at palindromes.
      const starts = forward.map((bits, i) => Math.max(bits, backward[i]!));
      if (count) return starts.filter((bits) => bits >= enough - 1e-9).length;
      return starts.reduce((best, bits) => Math.max(best, bits), least);
    };
  },
});
