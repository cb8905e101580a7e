import type { Tensor } from '#models/tensor/tensor.ts';
import type { LoraComponent } from '#models/training/lora-names.ts';

/** One adapted module, away from any model: delta = (alpha / rank) · up · down, the rank being `down.dims[0]`. */
export interface LoraModule {
  /** null: the file does not say; taken for the denoiser. */
  readonly component: LoraComponent | null;
  /** Dotted path; in diffusers naming where the file used the original code's. */
  readonly module: string;
  /** What stood in the file, for messages and for models that are named like the file. */
  readonly stem: string;
  /** [r, in, kernel…] */
  readonly down: Tensor;
  /** [out, r, 1…] */
  readonly up: Tensor;
  readonly alpha: number;
}

export interface LoraAdapter {
  readonly modules: readonly LoraModule[];
  /** The header's texts, without those that belong to a format and are made anew. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The commonest rank and alpha, which formats state once, and the modules that differ. */
export interface ScaleSummary {
  readonly rank: number;
  readonly alpha: number;
  readonly different: readonly LoraModule[];
}

export function summarise(modules: readonly LoraModule[]): ScaleSummary {
  const key = (m: LoraModule) => `${m.down.dims[0]}/${m.alpha}`;
  const counts = new Map<string, number>();
  for (const m of modules) counts.set(key(m), (counts.get(key(m)) ?? 0) + 1);
  const common = modules.reduce((best, m) => (counts.get(key(m))! > counts.get(key(best))! ? m : best));
  return {
    rank: common.down.dims[0]!,
    alpha: common.alpha,
    different: modules.filter((m) => key(m) !== key(common)),
  };
}
