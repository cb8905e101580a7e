import { z } from 'zod';
import type { AdapterFile } from '#pipelines/sampling/adapters.ts';

/** An image model as a job opens it. */
export interface WantedModel {
  readonly modelPath: string;
  readonly adapters: readonly AdapterFile[];
  /** See `PipelineOptions`. */
  readonly clipSkip?: number | undefined;
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number | undefined;
}

/** @param adapterPath applied in full; null: none. */
export function wantModel(
  modelPath: string,
  adapterPath: string | null,
  threads: number | undefined,
  clipSkip = 1,
): WantedModel {
  return { modelPath, adapters: adapterPath === null ? [] : [{ path: adapterPath, weight: 1 }], clipSkip, threads };
}

/** Equal for models that can stand in for each other, as long as their files stay as they are. */
export function modelKey({ modelPath, adapters, clipSkip = 1, threads = 0 }: WantedModel): string {
  return JSON.stringify([modelPath, adapters.map(({ path, weight }) => [path, weight]), clipSkip, threads]);
}

const path = z.string();
const ofGenerate = z.object({ modelPath: path, adapterPath: path.nullable(), clipSkip: z.number().nullish() });
const ofCompare = z
  .object({ modelPath: path, adapterAPath: path.nullable() })
  .transform(({ modelPath, adapterAPath }) => ({ modelPath, adapterPath: adapterAPath, clipSkip: 1 }));

/** What a job is asked, as far as it concerns its model. */
interface Job {
  readonly kind: string;
  readonly payload: unknown;
  readonly threads?: number | undefined;
}

/** The model that a job opens first; null where it opens none that can be kept. */
export function firstModelOf({ kind, payload, threads }: Job): WantedModel | null {
  const schema = kind === 'generate' ? ofGenerate : kind === 'compare' ? ofCompare : null;
  const first = schema?.safeParse(payload).data;
  return first ? wantModel(first.modelPath, first.adapterPath, threads, first.clipSkip ?? 1) : null;
}
