import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { activityOf } from './activity.ts';
import { drawEnhancer, ENHANCER_LENGTH } from './enhancers.ts';
import { CELLS } from './motifs.ts';

/** Enhancers as numbers, for training. */
export interface EnhancerDataset {
  readonly count: number;
  /** Letter numbers, A 0 … T 3, `[N, 200]`. */
  readonly tokens: Uint8Array;
  /** Cell line each was written for, `[N]`. */
  readonly cells: Uint8Array;
  /** True log activity in each cell line, `[N, 3]`. */
  readonly activities: Float32Array;
}

/** Enhancers `from` … `from + count − 1` of a seed: disjoint ranges are disjoint sets. Stops by throwing when `signal` is aborted. */
export function drawDataset(options: {
  readonly count: number;
  readonly seed: number;
  readonly from?: number;
  readonly onProgress?: (done: number) => void;
  readonly signal?: AbortSignal;
}): EnhancerDataset {
  const { count, seed, from = 0 } = options;
  const tokens = new Uint8Array(count * ENHANCER_LENGTH);
  const cells = new Uint8Array(count);
  const activities = new Float32Array(count * CELLS.length);
  for (let i = 0; i < count; i++) {
    if (i % 256 === 0) {
      options.signal?.throwIfAborted();
      options.onProgress?.(i);
    }
    const { sequence, cell } = drawEnhancer(seed, from + i);
    for (let k = 0; k < ENHANCER_LENGTH; k++) tokens[i * ENHANCER_LENGTH + k] = BASES.indexOf(sequence[k]!);
    cells[i] = CELLS.indexOf(cell);
    const activity = activityOf(sequence);
    for (const [c, name] of CELLS.entries()) activities[i * CELLS.length + c] = activity[name];
  }
  return { count, tokens, cells, activities };
}
