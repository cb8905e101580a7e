import { NorthlightError } from '#models/errors.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { numberIn } from './ports.ts';
import type { Component, FoundFolder } from './types.ts';

/** Names of a model's classes by number: `id2label` of the index, `classes` or `id2label` of the denoiser's configuration. */
export function classNames(found: FoundFolder, denoiser: Component): string[] {
  for (const source of [found.index.id2label, denoiser.config.id2label, denoiser.config.classes]) {
    if (typeof source !== 'object' || source === null) continue;
    const names: string[] = [];
    for (const [key, name] of Object.entries(source)) if (/^\d+$/.test(key)) names[Number(key)] = String(name);
    if (names.length > 0) return Array.from(names, (name, i) => name ?? String(i));
  }
  const count = numberIn(denoiser.config, 'num_embeds_ada_norm') ?? numberIn(denoiser.config, 'num_class_embeds') ?? 0;
  return Array.from({ length: count }, (_, i) => String(i));
}

/**
 * A class by number or name (or one of the comma-separated names it goes by), as `class_labels` wants it; an empty text is
 * `none`, the class that stands for any.
 * @throws {NorthlightError} `model/class`
 */
export function classLabel(text: string, names: readonly string[], none: number): Tensor<'float32'> {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return f32([], [none]);
  const parts = (name: string) => [name, ...name.split(',')].map((p) => p.trim().toLowerCase());
  const found = names.findIndex((name) => parts(name).includes(wanted));
  const label = found >= 0 ? found : /^\d+$/.test(wanted) ? Number(wanted) : Number.NaN;
  if (label < names.length) return f32([], [label]);
  throw new NorthlightError(
    'model/class',
    `This model makes pictures of ${names.length} classes, and "${text}" is none of them.`,
    `Give a number from 0 to ${names.length - 1}${names[0] === '0' ? '' : `, or a name such as "${names[0]}"`}.`,
  );
}
