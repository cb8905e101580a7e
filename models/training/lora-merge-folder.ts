import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { fileError, sha256File } from '#models/files.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { bindLora } from './lora-file.ts';
import { type LoraContents, readLora } from './lora-formats/read.ts';
import { type MergeAdapter, writeMerged } from './lora-merge.ts';
import type { LoraComponent } from './lora-names.ts';

export interface WeightedFile {
  readonly path: string;
  readonly weight: number;
}

export interface MergedNetwork {
  /** The model folder's own name for it: `unet`, `text_encoder_2`. */
  readonly network: string;
  /** Modules that each adapter changed, in the order given. */
  readonly matched: readonly number[];
}

export interface MergeReport {
  readonly networks: readonly MergedNetwork[];
  /** For each adapter, what it holds that is in no network of the model. */
  readonly unmatched: readonly { readonly path: string; readonly names: readonly string[] }[];
}

const NETWORKS: readonly (readonly [string, LoraComponent])[] = [
  ['unet', 'denoiser'],
  ['transformer', 'denoiser'],
  ['text_encoder', 'text_encoder'],
  ['text_encoder_2', 'text_encoder_2'],
  ['text_encoder_3', 'text_encoder_3'],
];

/**
 * Writes a copy of a model folder whose weights have the adapters added, each with its strength. Networks that no adapter
 * changes, and everything else, are copied. The new folder appears whole or not at all.
 * @param progress called with each network's name before it is written.
 * @throws {NorthlightError} `lora/out-exists`, `lora/no-network`, `lora/no-match` for an adapter that changes nothing here,
 *   and as `readLora`, `bindLora` and `writeMerged`.
 */
export function mergeIntoFolder(
  folder: string,
  files: readonly WeightedFile[],
  out: string,
  progress: (network: string) => void = () => {},
): MergeReport {
  const networks = NETWORKS.flatMap(([name, component]) => {
    const path = graphOf(join(folder, name));
    return path === undefined ? [] : [{ name, component, path }];
  });
  if (networks.length === 0) {
    throw new NorthlightError(
      'lora/no-network',
      `${folder} holds no network to merge into (${NETWORKS.map(([name]) => `${name}/model.onnx`).join(', ')}).`,
      'Name the folder that holds model_index.json.',
    );
  }
  refuseExisting(out);
  const adapters = files.map((file) => ({ ...file, contents: readLora(file.path) }));
  const left = adapters.map(({ contents }) => new Set(contents.modules.map((m) => m.stem)));
  const temporary = temporaryBeside(out);
  try {
    const report: MergedNetwork[] = [];
    const merged = new Map<string, ReadonlySet<string>>();
    for (const { name, component, path } of networks) {
      const model = readModel(path);
      const parts = adapters.map((adapter, i) => partFor(adapter, model, component, left[i]!));
      if (parts.every((part) => part === undefined)) continue;
      progress(name);
      mkdirSync(join(temporary, name), { recursive: true });
      const noted = new Map(model.metadata).set('northlight.merged', provenance(adapters.filter((_, i) => parts[i])));
      writeMerged(
        { ...model, metadata: noted },
        parts.filter((part) => part !== undefined),
        join(temporary, name, basename(path)),
      );
      merged.set(name, new Set([basename(path), ...externalFiles(model)]));
      report.push({ network: name, matched: parts.map((p) => new Set(p?.targets.map((t) => t.module)).size) });
    }
    const useless = adapters.findIndex((_, i) => report.every(({ matched }) => matched[i] === 0));
    if (useless >= 0) {
      const { path, contents } = adapters[useless]!;
      throw new NorthlightError(
        'lora/no-match',
        `${path}: none of its ${contents.modules.length} adapted modules is in the model ${folder}; the first is "${contents.modules[0]!.stem}".`,
        'The adapter belongs to another model: choose the model it belongs to.',
      );
    }
    progress('the rest');
    copyRest(folder, temporary, merged);
    if (existsSync(out)) rmdirSync(out);
    renameSync(temporary, out);
    const unmatched = adapters.map(({ path, contents }, i) => ({ path, names: [...left[i]!, ...contents.others] }));
    return { networks: report, unmatched };
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw fileError(error, out, 'write');
  }
}

/** The graph of a network's folder: `model.onnx`, or its only ONNX file. */
function graphOf(folder: string): string | undefined {
  const usual = join(folder, 'model.onnx');
  if (existsSync(usual)) return usual;
  const found = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.onnx')) : [];
  return found.length === 1 ? join(folder, found[0]!) : undefined;
}

/** What of an adapter is for this network; takes what it found off the list of what is left. */
function partFor(
  { path, weight, contents }: WeightedFile & { readonly contents: LoraContents },
  model: Model,
  component: LoraComponent,
  left: Set<string>,
): MergeAdapter | undefined {
  const modules = contents.modules.filter((m) => m.component === null || m.component === component);
  if (modules.length === 0) return undefined;
  try {
    const { targets, config, parameters, unmatched } = bindLora({ ...contents, modules }, model, path, { component });
    const missing = new Set(unmatched);
    for (const { stem } of modules) if (!missing.has(stem)) left.delete(stem);
    return { targets, config, parameters, weight };
  } catch (error) {
    // It may be for another network; an adapter that is for none is refused in the end.
    if (error instanceof NorthlightError && error.code === 'lora/no-match') return undefined;
    throw error;
  }
}

/** By content: names and places of files are the person's own business. */
function provenance(adapters: readonly WeightedFile[]): string {
  const isFile = (path: string) => statSync(path).isFile();
  return JSON.stringify(
    adapters.map(({ path, weight }) => ({ weight, ...(isFile(path) ? { sha256: sha256File(path) } : {}) })),
  );
}

function externalFiles(model: Model): string[] {
  return [...model.graph.initializers.values()].flatMap((init) => (isExternal(init) ? [init.external.location] : []));
}

function refuseExisting(out: string): void {
  if (!existsSync(out)) return;
  if (statSync(out).isDirectory() && readdirSync(out).length === 0) return;
  throw new NorthlightError('lora/out-exists', `${out} exists already.`, 'Name a folder that does not exist yet.');
}

function temporaryBeside(out: string): string {
  const parent = dirname(resolve(out));
  try {
    mkdirSync(parent, { recursive: true });
    return mkdtempSync(join(parent, `.${basename(out)}.`));
  } catch (error) {
    throw fileError(error, out, 'write');
  }
}

/** Copies a folder, but for the files of networks that were written anew. Links are followed. */
function copyRest(from: string, to: string, skip: ReadonlyMap<string, ReadonlySet<string>>, inside = ''): void {
  for (const name of readdirSync(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (statSync(source).isDirectory()) {
      mkdirSync(target, { recursive: true });
      copyRest(source, target, skip, inside === '' ? name : `${inside}/${name}`);
    } else if (!skip.get(inside)?.has(name)) copyFileSync(source, target, constants.COPYFILE_FICLONE);
  }
}
