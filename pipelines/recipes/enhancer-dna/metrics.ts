import type { Rng } from '#models/tensor/rng.ts';
import type { MaskedDenoiser } from '#pipelines/sampling/masked-loop.ts';
import type { MaskedSchedule } from '#pipelines/schedulers/types.ts';
import { findAllSites, placesOf } from '#pipelines/sequences/sites.ts';
import { addWordCounts } from '#pipelines/sequences/words.ts';
import { MOTIFS } from './motifs.ts';
import { pearson, spearman } from './statistics.ts';

/** Words of one length in all sequences together, in the order of the alphabet, `[4ᵏ]`. */
export function wordCounts(sequences: readonly string[], k: number): Float64Array {
  const counts = new Float64Array(4 ** k);
  for (const sequence of sequences) addWordCounts(sequence, k, counts);
  return counts;
}

/** Sites of each motif in all sequences together, either strand, places counted once. */
export function motifCounts(sequences: readonly string[]): Float64Array {
  const counts = new Float64Array(MOTIFS.length);
  const consensuses = MOTIFS.map((m) => m.consensus);
  for (const sequence of sequences) {
    for (const [m, sites] of findAllSites(sequence, consensuses).entries()) {
      counts[m]! += placesOf(sites);
    }
  }
  return counts;
}

/** Pearson's correlation of three-letter word counts. Wang et al. 2025 (arXiv:2410.13643), section 6.1; no scale plays a part. */
export function wordCorrelation(a: readonly string[], b: readonly string[]): number {
  return pearson(wordCounts(a, 3), wordCounts(b, 3));
}

/** Spearman's correlation of motif counts, as in the code of the same paper, with the motifs of our own grammar. */
export function motifCorrelation(a: readonly string[], b: readonly string[]): number {
  return spearman(motifCounts(a), motifCounts(b));
}

/** Mean share of positions in which two of the sequences differ, over all pairs, by counts at each position. */
export function diversity(sequences: readonly string[]): number {
  const n = sequences.length;
  const length = sequences[0]!.length;
  let same = 0;
  for (let i = 0; i < length; i++) {
    const counts = new Map<string, number>();
    for (const sequence of sequences) counts.set(sequence[i]!, (counts.get(sequence[i]!) ?? 0) + 1);
    for (const c of counts.values()) same += c * (c - 1);
  }
  return 1 - same / (n * (n - 1) * length);
}

/**
 * Approximate log-likelihood of a sequence in nats: at each step of the schedule, the step's chance of revealing a position times
 * Σ log p(x₀) over the positions masked at its time, for one draw of the noise, in which a position that is masked stays so at all
 * noisier times. The masked bound of Sahoo et al. 2024 (arXiv:2406.07524) on the schedule's own grid.
 */
export async function approximateLogLikelihood<C>(
  denoiser: MaskedDenoiser<C>,
  schedule: MaskedSchedule,
  tokens: Int32Array,
  condition: C,
  maskedAt: (time: number) => number,
  rng: Rng,
): Promise<number> {
  const levels = Float64Array.from(tokens, () => rng.uniform());
  let sum = 0;
  for (const { time, reveal } of schedule.steps) {
    if (time === null || reveal === 'one') throw new RangeError('The bound needs a schedule in steps of time.');
    const noisy = tokens.map((token, i) => (levels[i]! < maskedAt(time) ? denoiser.maskId : token));
    if (!noisy.includes(denoiser.maskId)) continue;
    const [logProbs] = await denoiser.predict([{ tokens: noisy, time, condition }]);
    const size = logProbs!.length / tokens.length;
    for (const [i, token] of noisy.entries()) {
      if (token === denoiser.maskId) sum += reveal * logProbs![i * size + tokens[i]!]!;
    }
  }
  return sum;
}
