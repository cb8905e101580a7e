import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { readSignature } from './signature.ts';
import type { Component, ComponentRole, FoundFolder } from './types.ts';

/** Folders a graph may stand in, by what it is for; the first that is there counts. */
const FOLDERS: Readonly<Record<ComponentRole, readonly string[]>> = {
  denoiser: ['unet', 'transformer', 'denoiser'],
  text_encoder: ['text_encoder'],
  text_encoder_2: ['text_encoder_2'],
  text_encoder_3: ['text_encoder_3'],
  vae_decoder: ['vae_decoder'],
  vae_encoder: ['vae_encoder'],
  safety_checker: ['safety_checker'],
};

/** What converters put after a graph's name, the plainest first: of several precisions, the one closest to the original. */
const SUFFIXES = ['', '_fp32', '_fp16', '_bf16', '_quantized', '_int8', '_uint8', '_q8', '_q4f16', '_q4', '_bnb4'];

export const LAYOUT_HINT =
  'A model folder holds model_index.json, scheduler/scheduler_config.json and a graph such as unet/model.onnx; see docs/formats.md.';

/**
 * What stands in a model folder of the diffusers layout: graphs with their signatures and configurations, tokenizers and the
 * scheduler's configuration. Nothing is said about whether it can run; weights are not read.
 * @throws {NorthlightError} `model/no-folder`, `model/missing-file`, `model/bad-json`, `model/graph-choice`, or of a graph
 *   that is not ONNX.
 */
export function findFolder(directory: string): FoundFolder {
  const path = resolve(directory);
  if (!isFolder(path)) {
    throw new NorthlightError(
      'model/no-folder',
      `There is no model folder at ${path}.`,
      'Check the path, or see: northlight models list',
    );
  }
  const index = readJson(join(path, 'model_index.json'), 'The index of the model (model_index.json)');
  const components = new Map<ComponentRole, Component>();
  for (const role of Object.keys(FOLDERS) as ComponentRole[]) {
    const graph = findGraph(path, role);
    if (graph === undefined) continue;
    const config = optionalJson(join(graph.folder, 'config.json'));
    components.set(role, { role, path: graph.path, signature: readSignature(graph.path), config });
  }
  const tokenizers = ['tokenizer', 'tokenizer_2', 'tokenizer_3']
    .map((name) => [name, join(path, name)] as const)
    .filter(([, folder]) => isFolder(folder));
  const scheduler = join(path, 'scheduler', 'scheduler_config.json');
  return {
    path,
    index,
    className: typeof index._class_name === 'string' ? index._class_name : '',
    components,
    tokenizers: new Map(tokenizers),
    schedulerConfig: existsSync(scheduler) ? readJson(scheduler, 'The scheduler configuration') : null,
  };
}

/** The graph of a role: `unet/model.onnx`, `unet/onnx/model_fp16.onnx`, `onnx/unet/model.onnx` or `onnx/unet_q4.onnx`. */
function findGraph(root: string, role: ComponentRole): { path: string; folder: string } | undefined {
  for (const name of FOLDERS[role]) {
    for (const folder of [join(root, name), join(root, 'onnx', name)]) {
      const inside = chooseGraph(folder, 'model') ?? chooseGraph(join(folder, 'onnx'), 'model');
      if (inside !== undefined) return { path: inside, folder };
    }
    const flat = join(root, 'onnx');
    const graph = SUFFIXES.map((s) => join(flat, `${name}${s}.onnx`)).find((p) => existsSync(p));
    if (graph !== undefined) return { path: graph, folder: join(root, name) };
  }
  return undefined;
}

/** `<name>.onnx`, else `<name>` with a known suffix, else the only graph there is. */
function chooseGraph(folder: string, name: string): string | undefined {
  if (!isFolder(folder)) return undefined;
  const graphs = readdirSync(folder).filter((f) => f.endsWith('.onnx') && !f.startsWith('.'));
  const known = SUFFIXES.map((s) => `${name}${s}.onnx`).find((f) => graphs.includes(f));
  const chosen = known ?? graphs[0];
  if (chosen === undefined) return undefined;
  if (known === undefined && graphs.length > 1) {
    throw new NorthlightError(
      'model/graph-choice',
      `${folder} holds ${graphs.length} graphs (${graphs.sort().join(', ')}), and none is called model.onnx.`,
      'Call the one to be used model.onnx.',
    );
  }
  return join(folder, chosen);
}

/** @throws {NorthlightError} `model/missing-file`, `model/bad-json` */
export function readJson(path: string, what: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new NorthlightError('model/missing-file', `${what} is missing: ${path}`, LAYOUT_HINT);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Falls through to the same complaint as for JSON of another kind.
  }
  throw new NorthlightError(
    'model/bad-json',
    `${path} is not a JSON object.`,
    'Copy the file again from where the model came from.',
  );
}

/** As `readJson`; empty when there is no such file. */
export function optionalJson(path: string): Record<string, unknown> {
  return existsSync(path) ? readJson(path, basename(path)) : {};
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
