import type { Session } from '#models/runtime/session.ts';
import { f32 } from '#models/tensor/tensor.ts';
import type { AttributeName } from '#pipelines/recipes/flora/attributes.ts';
import { type FlowerDataset, PICTURE_SIZE } from '#pipelines/recipes/flora/dataset.ts';
import { columnsOf, LAYOUT, NOT_APPLICABLE, readLogits } from './layout.ts';

export interface AttributeAccuracy {
  readonly name: AttributeName;
  /** Share of all pictures read right, 0…1. */
  readonly accuracy: number;
  /** The same over the pictures where the attribute can be seen. */
  readonly whereVisible: number;
  /** `confusion[i][j]`: pictures that show `values[i]` and were read as `values[j]`. */
  readonly values: readonly string[];
  readonly confusion: readonly (readonly number[])[];
}

export interface Evaluation {
  readonly count: number;
  /** Mean of the attributes' `accuracy`. */
  readonly mean: number;
  /** Share of the pictures of which every attribute was read right. */
  readonly allRight: number;
  readonly attributes: readonly AttributeAccuracy[];
}

const BATCH = 32;
const PIXELS = 3 * PICTURE_SIZE * PICTURE_SIZE;

/** How well a judge reads drawings as they are. */
export async function evaluateJudge(session: Session, data: FlowerDataset): Promise<Evaluation> {
  const tables = LAYOUT.map(({ values }) => values.map(() => values.map(() => 0)));
  let allRight = 0;
  for (let from = 0; from < data.count; from += BATCH) {
    const n = Math.min(BATCH, data.count - from);
    const image = Float32Array.from(data.pixels.subarray(from * PIXELS, (from + n) * PIXELS), (v) => v / 255);
    const { logits } = await session.run({ image: f32([n, 3, PICTURE_SIZE, PICTURE_SIZE], image) });
    for (let i = 0; i < n; i++) {
      const seen = readLogits(LAYOUT, logits!.data as Float32Array, i * columnsOf(LAYOUT));
      let right = true;
      for (const [k, { name, values }] of LAYOUT.entries()) {
        const shown = data.attributes[from + i]![name] ?? NOT_APPLICABLE;
        const read = seen[name] ?? NOT_APPLICABLE;
        tables[k]![values.indexOf(shown)]![values.indexOf(read)]! += 1;
        right &&= shown === read;
      }
      if (right) allRight += 1;
    }
  }
  const attributes = LAYOUT.map(({ name, values }, k) => {
    const confusion = tables[k]!;
    const visible = values.flatMap((v, i) => (v === NOT_APPLICABLE ? [] : [i]));
    return {
      name,
      accuracy: shareRight(confusion, [...values.keys()]),
      whereVisible: shareRight(confusion, visible),
      values,
      confusion,
    };
  });
  return {
    count: data.count,
    mean: attributes.reduce((sum, a) => sum + a.accuracy, 0) / attributes.length,
    allRight: allRight / data.count,
    attributes,
  };
}

function shareRight(confusion: readonly (readonly number[])[], rows: readonly number[]): number {
  let right = 0;
  let all = 0;
  for (const i of rows) {
    right += confusion[i]![i]!;
    all += confusion[i]!.reduce((a, b) => a + b, 0);
  }
  return right / all;
}
