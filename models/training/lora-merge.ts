import { basename, dirname, join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { type StagedFile, stageFile } from '#models/files.ts';
import { loadInitializer } from '#models/onnx/external.ts';
import { inlineFunctions } from '#models/onnx/inline-functions.ts';
import { type ExternalTensor, type Initializer, isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { allGraphs, consumers } from '#models/onnx/traverse.ts';
import { encodeModel, writeModel } from '#models/onnx/write.ts';
import {
  allocate,
  decodeBFloat16,
  decodeFloat16,
  encodeBFloat16,
  encodeFloat16,
  isFloat,
  type Tensor,
  toBytes,
  toNumbers,
} from '#models/tensor/tensor.ts';
import { type LoraScale, type LoraTarget, loraParameters, parameterOf, scaleOf, targetsByNode } from './lora.ts';
import { weightBytes } from './lora-weights.ts';

/** An adapter to be added to weights, with its strength (default 1). */
export interface MergeAdapter {
  readonly targets: readonly LoraTarget[];
  readonly config: LoraScale;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly weight?: number;
}

/**
 * A new model whose weights have the adapters added to them: no extra nodes, no extra cost, not removable. The deltas of all
 * adapters are summed in double precision and rounded once, to the type that the weight is stored in.
 * @throws {NorthlightError} `lora/merge-shared` when a weight also serves a node or module that is not the target,
 *   `lora/merge-quantised` when it is stored as integers; as `insertLora`.
 */
export function mergeLora(model: Model, adapters: readonly MergeAdapter[]): Model {
  const initializers = new Map(model.graph.initializers);
  for (const [name, deltas] of planMerge(model, adapters)) {
    initializers.set(name, addDeltas(loadInitializer(model, name), deltas));
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

/**
 * Writes the merged model. Weights beside the model go into a new file beside the new one, one after another: the model may
 * be larger than memory. Both files are written whole or not at all.
 * @param path where the new model goes: another folder than the old one.
 * @throws {NorthlightError} as `mergeLora`; `lora/merge-in-place`; and the `file/…` errors of writing.
 */
export function writeMerged(model: Model, adapters: readonly MergeAdapter[], path: string): void {
  const external = [...model.graph.initializers.values()].some(isExternal);
  if (!external) {
    writeModel(mergeLora(model, adapters), path);
    return;
  }
  if (model.folder !== undefined && resolve(model.folder) === resolve(dirname(path))) {
    throw new NorthlightError(
      'lora/merge-in-place',
      `The merged model cannot be written to ${path}, beside the weights it is made from.`,
      'Choose another folder.',
    );
  }
  for (const graph of allGraphs(model.graph)) {
    if (graph !== model.graph && [...graph.initializers.values()].some(isExternal)) {
      throw new NorthlightError(
        'lora/merge-nested',
        `The model keeps weights of an inner graph ("${graph.name}") in a file beside it.`,
        'Export the model without control flow, or keep the adapter beside it.',
      );
    }
  }
  const deltas = planMerge(model, adapters);
  const location = `${basename(path)}_data`;
  const { initializers, order } = layOut(model, location);
  const staged: StagedFile[] = [];
  try {
    staged.push(
      stageFile(join(dirname(path), location), (write) => {
        let position = 0;
        for (const { name, offset } of order) {
          write(new Uint8Array(offset - position));
          position = offset;
          const added = deltas.get(name);
          const pieces = added ? [toBytes(addDeltas(loadInitializer(model, name), added))] : weightBytes(model, name);
          for (const piece of pieces) {
            write(piece);
            position += piece.length;
          }
        }
      }),
    );
    // Weights inside the graph are small ones: they stay there.
    for (const [name, added] of deltas) {
      const init = initializers.get(name)!;
      if (!isExternal(init)) initializers.set(name, addDeltas(init, added));
    }
    const bytes = encodeModel({ ...model, graph: { ...model.graph, initializers } });
    staged.push(stageFile(path, (write) => write(bytes)));
    for (let file = staged.shift(); file !== undefined; file = staged.shift()) file.commit();
  } catch (error) {
    for (const file of staged) file.discard();
    throw error;
  }
}

/** External weights start at multiples of this, so that a runtime can map them into memory. */
const PAGE_BYTES = 4096;

/** Where the external weights go in one new data file. */
function layOut(model: Model, location: string) {
  const initializers = new Map<string, Initializer>(model.graph.initializers);
  const order: { name: string; offset: number }[] = [];
  let end = 0;
  for (const [name, init] of model.graph.initializers) {
    if (!isExternal(init)) continue;
    const offset = Math.ceil(end / PAGE_BYTES) * PAGE_BYTES;
    end = offset + init.external.length;
    order.push({ name, offset });
    const moved: ExternalTensor = { ...init, external: { location, offset, length: init.external.length } };
    initializers.set(name, moved);
  }
  return { initializers, order };
}

/** What one adapter adds to one weight: left · right, the scale in left. */
interface Delta {
  readonly rank: number;
  /** [rows, r] */
  readonly left: Float64Array;
  /** [r, columns] */
  readonly right: Float64Array;
}

/** The deltas of each weight, in the order of the adapters. */
function planMerge(asStored: Model, adapters: readonly MergeAdapter[]): Map<string, Delta[]> {
  // Weights belong to the main graph, whether or not a function reads them: the model that is written keeps its functions.
  const model = inlineFunctions(asStored);
  const users = consumers(model.graph);
  const plan = new Map<string, Delta[]>();
  for (const { targets, config, parameters, weight = 1 } of adapters) {
    const chosen = new Set(targetsByNode(model, targets).keys());
    const done = new Map<string, string>();
    for (const target of targets) {
      const other = done.get(target.weight);
      if (other === target.module) continue;
      done.set(target.weight, target.module);
      const init = model.graph.initializers.get(target.weight)!;
      if (!isFloat(init.dtype)) {
        throw new NorthlightError(
          'lora/merge-quantised',
          `The weight "${target.weight}" is stored as ${init.dtype}: an adapter added to it would be rounded away.`,
          'Keep the adapter beside the model, or merge it into the model that was not quantised.',
        );
      }
      const stray = finalUsers(target.weight, users).find((user) => !chosen.has(user));
      if (stray || other !== undefined) {
        const user = stray ? `the ${stray.opType} node "${stray.name || stray.outputs[0]}"` : `the module "${other}"`;
        throw new NorthlightError(
          'lora/merge-shared',
          `The weight "${target.weight}" also serves ${user}, which the adapter does not change in the same way.`,
          'Keep the adapter beside the model instead of merging it.',
        );
      }
      const delta = deltaOf(target, config, parameters, weight);
      plan.set(target.weight, [...(plan.get(target.weight) ?? []), delta]);
    }
  }
  return plan;
}

/** The nodes that use a value, looking through what stands between a weight and its layer. */
function finalUsers(name: string, users: ReadonlyMap<string, readonly Node[]>): Node[] {
  return (users.get(name) ?? []).flatMap((node) =>
    ['Identity', 'Transpose', 'Cast'].includes(node.opType) ? finalUsers(node.outputs[0]!, users) : [node],
  );
}

function deltaOf(
  target: LoraTarget,
  config: LoraScale,
  parameters: ReadonlyMap<string, Tensor>,
  weight: number,
): Delta {
  const { rank, alpha } = scaleOf(config, target.module);
  const wanted = loraParameters(target, config);
  const down = Float64Array.from(toNumbers(parameterOf(parameters, wanted.down))); // [r, in · kernel]
  const up = Float64Array.from(toNumbers(parameterOf(parameters, wanted.up))); // [out, r]
  const scale = (alpha / rank) * weight;
  if (target.channelsLast) return { rank, left: up.map((v) => v * scale), right: channelsLast(down, target) };
  const [left, right] = target.transposed ? [up, down] : [flip(down, rank), flip(up, up.length / rank)];
  return { rank, left: left.map((v) => v * scale), right };
}

/** [r, in, kernel…] → [r, kernel…, in] */
function channelsLast(down: Float64Array, { inFeatures, kernel }: LoraTarget): Float64Array {
  const size = inFeatures * kernel.reduce((a, b) => a * b, 1);
  const out = new Float64Array(down.length);
  for (let at = 0; at < down.length; at += size) out.set(flip(down.subarray(at, at + size), inFeatures), at);
  return out;
}

/** [rows, n] → [n, rows] */
function flip(matrix: Float64Array, rows: number): Float64Array {
  const n = matrix.length / rows;
  const out = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < n; j++) out[j * rows + i] = matrix[i * n + j]!;
  return out;
}

/** A weight with all deltas added, rounded once. Holds the old and the new weight and one row. */
function addDeltas(old: Tensor, deltas: readonly Delta[]): Tensor {
  const rows = deltas[0]!.left.length / deltas[0]!.rank;
  const columns = old.data.length / rows;
  const half = old.dtype === 'float16' || old.dtype === 'bfloat16';
  const decode = old.dtype === 'float16' ? decodeFloat16 : decodeBFloat16;
  const encode = old.dtype === 'float16' ? encodeFloat16 : encodeBFloat16;
  const from = old.data as ArrayLike<number>;
  const data = allocate(old.dtype as 'float32', old.data.length);
  const sum = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    sum.fill(0);
    for (const { rank, left, right } of deltas) {
      for (let k = 0; k < rank; k++) {
        const factor = left[i * rank + k]!;
        if (factor === 0) continue;
        for (let j = 0, at = k * columns; j < columns; j++, at++) sum[j] = sum[j]! + factor * right[at]!;
      }
    }
    for (let j = 0, at = i * columns; j < columns; j++, at++) {
      data[at] = half ? encode(decode(from[at]!) + sum[j]!) : from[at]! + sum[j]!;
    }
  }
  return { dtype: old.dtype, dims: old.dims, data };
}
