import type { Session } from '#models/runtime/session.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { type Assay, writeOneHot } from './assay.ts';
import { ENHANCER_LENGTH } from './enhancers.ts';
import { CELLS, type Cell } from './motifs.ts';
import { pearson, spearman } from './statistics.ts';

/** How an oracle does in one cell line. */
export interface OracleAccuracy {
  readonly cell: Cell;
  /** Correlation of its answers with the exact activity. */
  readonly pearson: number;
  readonly spearman: number;
  /** With the measurement, and the best that any oracle could reach there: that of the exact activity. */
  readonly measured: number;
  readonly ceiling: number;
}

export interface OracleEvaluation {
  readonly count: number;
  readonly cells: readonly OracleAccuracy[];
}

const BATCH = 16;

/** Log activity of `count` sequences as an oracle says it, `[N, 3]`. @param tokens letter numbers, `[N, 200]`. */
export async function askOracle(session: Session, tokens: Uint8Array, count: number): Promise<Float32Array> {
  const out = new Float32Array(count * CELLS.length);
  const size = ENHANCER_LENGTH * BASES.length;
  for (let from = 0; from < count; from += BATCH) {
    const n = Math.min(BATCH, count - from);
    const sequence = new Float32Array(n * size);
    for (let i = 0; i < n; i++) writeOneHot(tokens, from + i, sequence, i * size);
    const { activity } = await session.run({ sequence: f32([n, ENHANCER_LENGTH, BASES.length], sequence) });
    out.set(activity!.data as Float32Array, from * CELLS.length);
  }
  return out;
}

/** How well an oracle knows the activity of sequences it was not trained on. */
export async function evaluateOracle(session: Session, assay: Assay): Promise<OracleEvaluation> {
  const answers = await askOracle(session, assay.tokens, assay.count);
  const cells = CELLS.map((cell, c): OracleAccuracy => {
    const [said, exact, measured] = [answers, assay.activities, assay.measured].map((all) => columnOf(all, c)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    return {
      cell,
      pearson: pearson(said, exact),
      spearman: spearman(said, exact),
      measured: pearson(said, measured),
      ceiling: pearson(exact, measured),
    };
  });
  return { count: assay.count, cells };
}

/** Numbers of one cell line out of `[N, 3]`. */
export function columnOf(all: Float32Array, cell: number): Float32Array {
  return Float32Array.from({ length: all.length / CELLS.length }, (_, i) => all[i * CELLS.length + cell]!);
}
