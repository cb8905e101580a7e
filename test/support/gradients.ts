import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { type Tensor, toNumbers } from '#models/tensor/tensor.ts';

const ROOT = join(import.meta.dirname, '..', 'golden', 'gradients');

const Manifest = z.object({
  fixtures: z.array(
    z.object({
      folder: z.string(),
      file: z.string(),
      title: z.string(),
      /** whether `gradients-short.safetensors` is about this file */
      short: z.boolean(),
      /** initialiser → its name in `gradients.safetensors`, where the two differ */
      renamed: z.record(z.string(), z.string()),
    }),
  ),
});

export type FixtureEntry = z.infer<typeof Manifest>['fixtures'][number];

/** One exported network with what it was fed and what PyTorch's float64 autograd says about it. */
export interface GradientFixture {
  modelPath: string;
  /** By graph input. */
  inputs: ReadonlyMap<string, Tensor>;
  /** The weight of each output's elements in the scalar that is differentiated, by graph output. */
  cotangents: ReadonlyMap<string, Tensor>;
  /** By graph output. */
  outputs: ReadonlyMap<string, Tensor>;
  /** The reference gradient of a floating initialiser or graph input of this file. @throws {Error} if there is none. */
  gradient(name: string): Tensor;
  /** Whether there is one. */
  has(name: string): boolean;
}

/** Every exported file under `test/golden/gradients`. */
export function gradientFixtures(): FixtureEntry[] {
  return Manifest.parse(JSON.parse(readFileSync(join(ROOT, 'manifest.json'), 'utf8'))).fixtures;
}

/** @param rounding `short`: references for weights, inputs and cotangents that were rounded to 16 bits first. */
export function loadGradientFixture(entry: FixtureEntry, rounding?: 'short'): GradientFixture {
  const folder = join(ROOT, entry.folder);
  const { tensors } = readSafetensors(join(folder, rounding ? 'gradients-short.safetensors' : 'gradients.safetensors'));
  const outputs = [...tensors].filter(([name]) => name.startsWith('output/'));
  return {
    modelPath: join(folder, entry.file),
    inputs: readSafetensors(join(folder, 'inputs.safetensors')).tensors,
    cotangents: readSafetensors(join(folder, 'cotangents.safetensors')).tensors,
    outputs: new Map(outputs.map(([name, t]) => [name.slice('output/'.length), t])),
    gradient(name) {
      const found = tensors.get(entry.renamed[name] ?? name);
      if (!found) throw new Error(`${entry.file} has no reference gradient for "${name}".`);
      return found;
    },
    has: (name) => tensors.has(entry.renamed[name] ?? name),
  };
}

/** Euclidean norm, accumulated in double precision. */
export function norm(t: Tensor): number {
  return Math.sqrt(toNumbers(t).reduce((sum, x) => sum + x * x, 0));
}

/** ‖actual − reference‖. Infinite where the shapes differ; NaN where either holds a NaN. */
export function distance(actual: Tensor, reference: Tensor): number {
  if (actual.dims.length !== reference.dims.length) return Number.POSITIVE_INFINITY;
  if (actual.dims.some((d, i) => d !== reference.dims[i])) return Number.POSITIVE_INFINITY;
  const a = toNumbers(actual);
  const b = toNumbers(reference);
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0));
}

/** ‖actual − reference‖ ∕ ‖reference‖. */
export function relativeError(actual: Tensor, reference: Tensor): number {
  return distance(actual, reference) / norm(reference);
}

/**
 * The gradients that are wrong, one line each; empty when all agree. A tensor is right when its relative error is at
 * most `tolerance`. One whose reference is below 10⁻⁶ of the largest gradient's norm is zero but for rounding (a key's
 * bias before a softmax), so it has no meaningful relative error: it must lie within `negligible` (10⁻⁶ in float32) of that
 * largest norm.
 */
export function wrongGradients(
  actual: ReadonlyMap<string, Tensor>,
  reference: ReadonlyMap<string, Tensor>,
  tolerance: number,
  negligible = 1e-6,
): string[] {
  const largest = Math.max(...[...reference.values()].map(norm));
  const wrong: string[] = [];
  for (const [name, expected] of reference) {
    const got = actual.get(name);
    const allowed = norm(expected) < 1e-6 * largest ? negligible * largest : tolerance * norm(expected);
    if (!got) wrong.push(`${name}: missing`);
    // Written so that a NaN counts as wrong.
    else if (!(distance(got, expected) <= allowed)) {
      wrong.push(`${name} [${got.dims.join(', ')}]: relative error ${relativeError(got, expected).toExponential(2)}`);
    }
  }
  return wrong;
}
