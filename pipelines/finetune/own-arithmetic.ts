import type { Model } from '#models/onnx/ir.ts';
import type { Session } from '#models/runtime/session.ts';
import { dimsEqual, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { GaussianStep } from '#pipelines/schedulers/types.ts';

/** Rounding error of one operation, relative. */
const ROUNDING = { float16: 2 ** -11, bfloat16: 2 ** -8 } as const;
/** Share of a step's noise that rounding may make, over all dimensions together. */
const ALLOWED = 0.1;

/** How the weights of a model round, or 0 where they are wider than 16 bits. */
export function roundingOf({ graph }: Model): number {
  let most = 0;
  for (const { dtype } of graph.initializers.values())
    if (dtype === 'float16' || dtype === 'bfloat16') most = Math.max(most, ROUNDING[dtype]);
  return most;
}

/**
 * Whether the rounding of a network's output shows in a step of it: the sampler's network and the one in the training graph round
 * differently, by about `rounding` of an output of order one, which is |b|/σ times that in units of the step's noise. Noise adds
 * up to √D over D dimensions, a difference that goes one way everywhere to D: it is felt from |b|/σ·rounding·√D on.
 */
export function isRounded(step: Pick<GaussianStep, 'output' | 'std'>, rounding: number, dimensions: number): boolean {
  return ((rounding * Math.abs(step.output)) / step.std) * Math.sqrt(dimensions) > ALLOWED;
}

/** (prev − μ)/σ of some rows in the arithmetic of the training graph, with the adapter at its start. */
export type Standardised = (
  feeds: Readonly<Record<string, Tensor>>,
  rows: readonly number[],
) => Promise<Float32Array[]>;

/** By a graph of one row (buildStandardisedGraph): in float32, where graphs of the same network agree to the last bits. */
export function standardisedByRow(session: Session, start: ReadonlyMap<string, Tensor>): Standardised {
  return async (feeds, rows) => {
    const found: Float32Array[] = [];
    for (const row of rows) {
      const own = session.inputs.map(
        ({ name, dims }) => [name, start.get(name) ?? rowOf(feeds[name]!, row, dims)] as const,
      );
      found.push((await session.run(Object.fromEntries(own))).standardised!.data as Float32Array);
    }
    return found;
  };
}

/** By the training graph itself: where results are stored in 16 bits, another graph of the same network rounds differently. */
export function standardisedByStep(session: Session, start: ReadonlyMap<string, Tensor>): Standardised {
  return async (feeds, rows) => {
    const { dims, data } = (await session.run({ ...feeds, ...Object.fromEntries(start) })).standardised!;
    const size = numel(dims.slice(1));
    return rows.map((row) => (data as Float32Array).subarray(row * size, (row + 1) * size));
  };
}

/**
 * Moves steps onto the arithmetic of the training graph, so that the reference differs from the trained network by the
 * adapter alone. A step that the reference made keeps its noise: `prev` becomes what the graph's own reference would have drawn
 * with it. Another keeps `prev`, and `reference` is computed again.
 * @param rows to be moved, and whether the reference made them. @param feeds of all rows; changed in place.
 */
export async function toOwnArithmetic(
  standardised: Standardised,
  rows: readonly { readonly row: number; readonly byReference: boolean }[],
  feeds: Readonly<Record<string, Tensor>>,
): Promise<void> {
  if (rows.length === 0) return;
  const [prev, reference, std] = ['prev', 'reference', 'std'].map((name) => feeds[name]!.data as Float32Array);
  const own = await standardised(
    feeds,
    rows.map(({ row }) => row),
  );
  rows.forEach(({ row, byReference }, k) => {
    const e = own[k]!;
    const at = row * e.length;
    if (byReference) for (let d = 0; d < e.length; d++) prev![at + d]! += std![row]! * (reference![at + d]! - e[d]!);
    else reference!.set(e, at);
  });
}

/** One row of a tensor that has many, or all of one that all rows share. */
function rowOf(t: Tensor, row: number, dims: readonly (number | string)[]): Tensor {
  if (dimsEqual(t.dims, dims.map(Number))) return t;
  const own = [1, ...t.dims.slice(1)];
  return { ...t, dims: own, data: t.data.slice(row * numel(own), (row + 1) * numel(own)) } as Tensor;
}
