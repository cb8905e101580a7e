import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { insertLora } from '#models/training/lora.ts';
import { bindLora } from '#models/training/lora-file.ts';
import { type LoraContents, readLora } from '#models/training/lora-formats/read.ts';
import type { LoraComponent } from '#models/training/lora-names.ts';

export interface AdapterFile {
  readonly path: string;
  readonly weight: number;
}

/** Adapter files, read once for all the networks they are for. */
export interface Adapters {
  /** Whether any of them has something for this network. */
  concern(component: LoraComponent): boolean;
  /**
   * A network with what each file has for it inserted, in order.
   * @throws {NorthlightError} `lora/no-match`, `lora/shape`, `lora/key-collision`
   */
  apply(model: Model, component: LoraComponent): Model;
}

/**
 * @param present the networks that the model has.
 * @throws {NorthlightError} `lora/no-match` for a file that is for none of them; `lora/…`, `safetensors/…` and `file/…` for one
 *   that is no adapter.
 */
export function openAdapters(files: readonly AdapterFile[], present: readonly LoraComponent[]): Adapters {
  const opened = files.map((file) => ({ ...file, contents: readLora(file.path) }));
  for (const { path, contents } of opened) {
    if (present.some((component) => partFor(contents, component).length > 0)) continue;
    throw new NorthlightError(
      'lora/no-match',
      `${path} is for none of the networks that the model has (${present.join(', ')}).`,
      'The adapter belongs to another kind of model: choose the one it was made for.',
    );
  }
  return {
    concern: (component) => opened.some(({ contents }) => partFor(contents, component).length > 0),
    apply(model, component) {
      let adapted = model;
      for (const [i, { path, weight, contents }] of opened.entries()) {
        const modules = partFor(contents, component);
        if (modules.length === 0) continue;
        const bound = bindLora({ ...contents, modules }, model, path, { component });
        adapted = insertLora(adapted, bound.targets, bound.config, bound.parameters, {
          weight,
          prefix: `adapter${i}.`,
        });
      }
      return adapted;
    },
  };
}

/** A file that does not say which network it is for is for the denoiser. */
function partFor({ modules }: LoraContents, component: LoraComponent): LoraContents['modules'] {
  return modules.filter((m) => (m.component ?? 'denoiser') === component);
}
