import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { isFloat, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets, insertLora, type LoraScale, loraParameters } from './lora.ts';
import { readLoraFile } from './lora-file.ts';
import { type MergeAdapter, mergeLora, writeMerged } from './lora-merge.ts';
import type { LoraComponent } from './lora-names.ts';

export interface LoraCheck {
  /** Largest absolute difference of any output element: the file's adapter against the live one. */
  readonly difference: number;
  /** Largest absolute change the file's adapter makes to any output element. Zero: it was loaded and does nothing. */
  readonly effect: number;
  /** Modules of the model the file has an adapter for. */
  readonly matched: number;
  /** Keys of the file with no module in the model. */
  readonly unmatched: readonly string[];
}

/**
 * Reads an adapter file back, puts it into the model as it is on disk, and runs it beside the live adapter and beside the
 * bare model on the same feeds.
 * @param check.live parameters by the names of `loraParameters`; null: the file's adapter is compared with itself merged
 *   into the weights, which is other arithmetic for the same function.
 * @param check.liveScale rank and alpha of the live adapter; default: those of the file.
 * @throws {NorthlightError} as `readLoraFile`; `lora/not-finite` when an output is not a number.
 */
export async function verifyLora(check: {
  readonly modelPath: string;
  readonly model: Model;
  readonly file: string;
  readonly live: ReadonlyMap<string, Tensor> | null;
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly liveScale?: LoraScale;
  readonly threads?: number;
  /** Which network the model is; default: the denoiser. */
  readonly component?: LoraComponent;
}): Promise<LoraCheck> {
  const fresh = readModel(check.modelPath);
  const adapter = readLoraFile(check.file, fresh, check.component === undefined ? {} : { component: check.component });
  const { targets, config, parameters } = adapter;
  const run = (model: Model) => outputsOf(model, check.feeds, check.threads);

  const base = await run(check.model);
  const fromFile = await run(insertLora(fresh, targets, config, parameters));
  const other = check.live
    ? await run(withLive(check.model, check.live, check.liveScale ?? config))
    : await runMerged(fresh, { targets, config, parameters }, check.feeds, check.threads);
  return {
    difference: largestDifference(fromFile, other),
    effect: largestDifference(fromFile, base),
    matched: new Set(targets.map((t) => t.module)).size,
    unmatched: adapter.unmatched,
  };
}

/** Every module the live adapter has, whether or not the file has it too. */
function withLive(model: Model, live: ReadonlyMap<string, Tensor>, scale: LoraScale): Model {
  const targets = findLoraTargets(model, 'all').filter((t) => live.has(loraParameters(t, scale).down.name));
  return insertLora(model, targets, scale, live);
}

type Feeds = Readonly<Record<string, Tensor>>;

/** The outputs with the adapter merged; a model with weights beside it is merged on disk, as it may not fit into memory. */
async function runMerged(model: Model, adapter: MergeAdapter, feeds: Feeds, threads?: number) {
  if (![...model.graph.initializers.values()].some(isExternal)) {
    return outputsOf(mergeLora(model, [adapter]), feeds, threads);
  }
  const folder = mkdtempSync(join(tmpdir(), 'northlight-merged-'));
  try {
    const path = join(folder, 'model.onnx');
    writeMerged(model, [adapter], path);
    return await outputsOf(path, feeds, threads);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function outputsOf(model: Model | string, feeds: Feeds, threads?: number): Promise<Map<string, number[]>> {
  const folder = typeof model === 'string' ? undefined : model.folder;
  const session = await createSession(typeof model === 'string' ? model : encodeModel(model), {
    ...(folder === undefined ? {} : { folder }),
    ...(threads === undefined ? {} : { threads }),
  });
  try {
    const results = await session.run(feeds);
    return new Map(Object.entries(results).flatMap(([name, t]) => (isFloat(t.dtype) ? [[name, toNumbers(t)]] : [])));
  } finally {
    await session.release();
  }
}

function largestDifference(a: ReadonlyMap<string, number[]>, b: ReadonlyMap<string, number[]>): number {
  let largest = 0;
  for (const [name, values] of a) {
    const others = b.get(name)!;
    for (let i = 0; i < values.length; i++) {
      const d = Math.abs(values[i]! - others[i]!);
      if (!Number.isFinite(d)) {
        throw new NorthlightError(
          'lora/not-finite',
          `Element ${i} of the output "${name}" is ${values[i]} with the adapter and ${others[i]} without it or with the other.`,
          'Check the model without an adapter first; then use a smaller weight.',
        );
      }
      if (d > largest) largest = d;
    }
  }
  return largest;
}
