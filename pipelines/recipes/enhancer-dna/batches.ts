import { Rng } from '#models/tensor/rng.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { drawEnhancer } from './enhancers.ts';
import { antitheticTimes, type Clean, maskedFeeds } from './masking.ts';
import { CELLS } from './motifs.ts';
import { NULL_CLASS } from './network.ts';

/**
 * Feeds of training step after step, a pure function of (seed, step). Every enhancer is a new one, so nothing can be learnt by
 * heart; the cell line is left out of a share `dropout` of them, for guidance (Ho and Salimans 2022, arXiv:2207.12598).
 */
export function enhancerBatches(options: {
  readonly batch: number;
  readonly seed: number;
  readonly dropout: number;
}): (step: number) => Record<string, Tensor> {
  const { batch, seed, dropout } = options;
  const root = new Rng(seed).fork('enhancer-batches');
  const enhancers = root.fork('enhancers').word();
  return (step) => {
    const rng = root.fork(step);
    const rows = Array.from({ length: batch }, (_, b): Clean => {
      const { sequence, cell } = drawEnhancer(enhancers, step * batch + b);
      const label = rng.uniform() < dropout ? NULL_CLASS : CELLS.indexOf(cell);
      return { letters: lettersOf(sequence), label };
    });
    return maskedFeeds(rows, antitheticTimes(batch, rng.uniform()), rng.fork('masks'));
  };
}

/** Letter numbers of a sequence of A, C, G, T. */
export function lettersOf(sequence: string): Uint8Array {
  return Uint8Array.from(sequence, (letter) => BASES.indexOf(letter));
}
