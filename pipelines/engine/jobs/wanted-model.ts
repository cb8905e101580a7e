import { z } from 'zod';
import type { AdapterFile } from '#pipelines/sampling/adapters.ts';

/** An image model as a job opens it. */
export interface WantedModel {
  readonly modelPath: string;
  readonly adapters: readonly AdapterFile[];
  /** Threads per network; absent: chosen for this machine. */
  readonly threads?: number | undefined;
}

/** @param adapterPath applied in full; null: none. */
export function wantModel(modelPath: string, adapterPath: string | null, threads: number | undefined): WantedModel {
  return { modelPath, adapters: adapterPath === null ? [] : [{ path: adapterPath, weight: 1 }], threads };
}

/** Equal for models that can stand in for each other, as long as their files stay as they are. */
export function modelKey({ modelPath, adapters, threads = 0 }: WantedModel): string {
  return JSON.stringify([modelPath, adapters.map(({ path, weight }) => [path, weight]), threads]);
}

const path = z.string();
const ofGenerate = z.object({ modelPath: path, adapterPath: path.nullable() });
const ofCompare = z
  .object({ modelPath: path, adapterAPath: path.nullable() })
  .transform(({ modelPath, adapterAPath }) => ({ modelPath, adapterPath: adapterAPath }));

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
  return first ? wantModel(first.modelPath, first.adapterPath, threads) : null;
}
