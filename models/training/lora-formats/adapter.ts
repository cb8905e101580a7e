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

/** Of equally common ones the larger: the order of the modules does not matter. */
export function summarise(modules: readonly LoraModule[]): ScaleSummary {
  const groups = new Map<string, { rank: number; alpha: number; count: number }>();
  for (const { down, alpha } of modules) {
    const key = `${down.dims[0]}/${alpha}`;
    const group = groups.get(key) ?? { rank: down.dims[0]!, alpha, count: 0 };
    group.count++;
    groups.set(key, group);
  }
  const [{ rank, alpha } = { rank: 0, alpha: 0 }] = [...groups.values()].sort(
    (a, b) => b.count - a.count || b.rank - a.rank || b.alpha - a.alpha,
  );
  return { rank, alpha, different: modules.filter((m) => m.down.dims[0] !== rank || m.alpha !== alpha) };
}

/** A file to write: its path relative to what was asked for ('' for that path itself), and its content. */
export interface LoraOutput {
  readonly name: string;
  readonly content:
    | string
    | { readonly tensors: ReadonlyMap<string, Tensor>; readonly metadata: ReadonlyMap<string, string> };
}
