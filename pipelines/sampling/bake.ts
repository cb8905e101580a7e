import { copyFileSync, existsSync, linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { modelFiles } from '#models/families/hash-folder.ts';
import { type ModelFolder, openModelFolder } from '#models/families/index.ts';
import type { Component } from '#models/families/types.ts';
import { fixSizes } from '#models/onnx/fix-sizes.ts';
import { compareOutputs } from '#models/runtime/graph-trial.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { fromNumbers, isFloat, numel, type Tensor } from '#models/tensor/tensor.ts';
import { stepFeeds } from './model-trials.ts';
import { sizeOf } from './pipeline.ts';

export interface BakeOptions {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Samples of one call. */
  readonly batch: number;
  readonly threads?: number | undefined;
  progress(stage: string, done: number, total: number): void;
}

/** One graph of the new folder against that of the old one, on one random input. */
export interface BakedGraph {
  readonly file: string;
  /** Sizes of its inputs now. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Largest relative difference of an output. */
  readonly difference: number;
}

/** Other kernels may be chosen for known sizes, which sum in another order. */
const TOLERANCE = 1e-3;

/**
 * Writes a model folder anew whose graphs have fixed sizes; everything else is a hard link to the source's file, or a copy on
 * another disk. Each graph is run beside its source with the same input before the folder gets its name.
 * @throws {NorthlightError} `model/bake-target`, `model/bake-differs`, `sampling/size`, and of the folder or the runtime.
 */
export async function bakeModel(source: string, target: string, options: BakeOptions): Promise<BakedGraph[]> {
  const folder = openModelFolder(source);
  const out = resolve(target);
  if (existsSync(out)) {
    throw new NorthlightError('model/bake-target', `${out} exists already.`, 'Name a folder that does not exist yet.');
  }
  sizeOf(folder, options);
  const making = `${out}.tmp`;
  rmSync(making, { recursive: true, force: true });
  try {
    const components = [...folder.found.components.values()];
    const graphs = new Map(components.map((c) => [c.path, c]));
    const beside = [join(folder.path, 'northlight.json')].filter((file) => existsSync(file));
    for (const file of [...modelFiles(folder.path), ...beside]) {
      if (!graphs.has(file)) linkOrCopy(file, join(making, relative(folder.path, file)));
    }
    const baked: BakedGraph[] = [];
    for (const [i, component] of components.entries()) {
      options.progress(relative(folder.path, component.path), i, components.length);
      baked.push(await bakeGraph(folder, component, making, options));
    }
    renameSync(making, out);
    return baked;
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    throw error;
  }
}

async function bakeGraph(
  folder: ModelFolder,
  component: Component,
  making: string,
  options: BakeOptions,
): Promise<BakedGraph> {
  const file = relative(folder.path, component.path);
  const inputs = await inputSizes(folder, component, options);
  const names = new Map<string, number>();
  for (const port of component.signature.inputs) {
    for (const [axis, dim] of port.dims.entries()) {
      if (typeof dim === 'string') names.set(dim, inputs.get(port.name)![axis]!);
    }
  }
  const path = join(making, file);
  mkdirSync(dirname(path), { recursive: true });
  fixSizes(component.path, path, names, inputs);
  const feeds = randomFeeds(component, inputs);
  const before = await run(component.path, feeds, options.threads);
  const after = await run(path, feeds, options.threads);
  const { agreement, worst } = compareOutputs(after, before);
  if (!(agreement <= TOLERANCE)) {
    throw new NorthlightError(
      'model/bake-differs',
      `With fixed sizes "${worst}" of ${file} differs from the source's by ${agreement.toPrecision(2)} of its norm.`,
      'Use the model with free sizes; nothing was kept.',
    );
  }
  return { file: file.replaceAll('\\', '/'), inputs: Object.fromEntries(inputs), difference: agreement };
}

/** The sizes of a graph's inputs for pictures of one size. */
async function inputSizes(
  folder: ModelFolder,
  { role, signature }: Component,
  { width, height, batch }: BakeOptions,
): Promise<Map<string, readonly number[]>> {
  const { model } = folder;
  const factor = model.vae?.scaleFactor ?? 1;
  const step = role === 'denoiser' ? await stepFeeds(folder, { width, height }) : {};
  const tokens = model.text.find((part) => part.component.role === role)?.tokens;
  const batchName = signature.inputs[0]?.dims[0];
  return new Map(
    signature.inputs.map(({ name, dims }) => {
      const rest = role === 'vae_decoder' ? [height / factor, width / factor] : [height, width];
      const wanted = step[name]?.dims ?? (dims.length === 4 ? [batch, 3, ...rest] : [batch, tokens ?? 1]);
      const sizes = dims.map((dim, axis) => {
        if (typeof dim === 'number') return dim;
        const isBatch = axis === 0 && (dim === null || dim === batchName);
        return isBatch ? batch : wanted[axis]!;
      });
      return [name, sizes];
    }),
  );
}

function randomFeeds({ signature }: Component, inputs: ReadonlyMap<string, readonly number[]>): Record<string, Tensor> {
  const rng = new Rng(0).fork('bake');
  return Object.fromEntries(
    signature.inputs.map(({ name, dtype }) => {
      const dims = inputs.get(name)!;
      const values = rng.fork(name).fillNormal(new Float32Array(numel(dims)));
      // Whole numbers are tokens and timesteps: a small one is both.
      return [name, fromNumbers(dtype, dims, isFloat(dtype) ? [...values] : [...values].map(() => 1))];
    }),
  );
}

async function run(path: string, feeds: Record<string, Tensor>, threads: number | undefined) {
  const session = await createSession(path, threads ? { threads } : {});
  try {
    return new Map(Object.entries(await session.run(feeds)));
  } finally {
    await session.release();
  }
}

function linkOrCopy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  try {
    linkSync(from, to);
  } catch {
    // Another disk, or one without links.
    copyFileSync(from, to);
  }
}
