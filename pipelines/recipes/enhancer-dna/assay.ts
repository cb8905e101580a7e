import { Rng } from '#models/tensor/rng.ts';
import { drawDataset } from './dataset.ts';
import { ENHANCER_LENGTH } from './enhancers.ts';
import { CELLS } from './motifs.ts';

/** Standard deviations of what is added to the true log activity. */
export const ASSAY_NOISE = {
  /** In all cell lines alike: how a construct was made, cloned and tagged. */
  construct: 0.2,
  /** In each cell line by itself: counting few molecules. */
  cell: 0.4,
} as const;

/** Which sequences of an assay: two halves for training, and further ones that no oracle is trained on. */
export const ASSAY_PARTS = ['a', 'b', 'held-out'] as const;
export type AssayPart = (typeof ASSAY_PARTS)[number];

/** Enhancers as a reporter assay measured them. */
export interface Assay {
  readonly count: number;
  /** Letter numbers, `[N, 200]`. */
  readonly tokens: Uint8Array;
  /** True log activity, `[N, 3]`. */
  readonly activities: Float32Array;
  /** Measured log activity, `[N, 3]`: {@link ASSAY_NOISE} added. */
  readonly measured: Float32Array;
}

/**
 * One part of a simulated massively parallel reporter assay: measured = true + construct + cell noise, all normal. Parts of one
 * seed and one `half` size are disjoint: enhancers 0 … half − 1, half … 2·half − 1, and from 2·half on.
 */
export function drawAssay(options: {
  readonly part: AssayPart;
  readonly count: number;
  /** Sequences of each half. */
  readonly half: number;
  readonly seed: number;
  readonly onProgress?: (done: number) => void;
  readonly signal?: AbortSignal;
}): Assay {
  const { part, count, half } = options;
  const root = new Rng(options.seed).fork('enhancer-assay');
  const from = ASSAY_PARTS.indexOf(part) * half;
  const { tokens, activities } = drawDataset({ ...options, from, seed: root.fork('enhancers').word() });
  const measured = new Float32Array(activities.length);
  for (let i = 0; i < count; i++) {
    const rng = root.fork('noise', from + i);
    const shared = ASSAY_NOISE.construct * rng.normal();
    for (let c = 0; c < CELLS.length; c++) {
      const at = i * CELLS.length + c;
      measured[at] = activities[at]! + shared + ASSAY_NOISE.cell * rng.normal();
    }
  }
  return { count, tokens, activities, measured };
}

/** Sequence `i` as one-hot rows `[200, 4]` into `out` at `offset`, which must hold zeros. */
export function writeOneHot(tokens: Uint8Array, i: number, out: Float32Array, offset: number): void {
  for (let k = 0; k < ENHANCER_LENGTH; k++) out[offset + k * 4 + tokens[i * ENHANCER_LENGTH + k]!] = 1;
}
