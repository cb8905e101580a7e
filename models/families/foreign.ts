import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { optionalJson } from './find-folder.ts';

const CONVERT = (source: string) =>
  `Convert it once, where you have Python: optimum-cli export onnx --model ${source} NEW_FOLDER; then add NEW_FOLDER.`;
const LOAD_FIRST =
  'Load it once with diffusers (from_single_file), save it as a folder (save_pretrained), then: optimum-cli export onnx --model THAT_FOLDER NEW_FOLDER.';

/** Files that people take for a model folder, by their ending: what each is and what to do. */
const FILES: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  '.safetensors': [
    'a PyTorch checkpoint or an adapter (safetensors)',
    `${LOAD_FIRST} An adapter (LoRA) is given with --lora.`,
  ],
  '.ckpt': ['a PyTorch checkpoint (ckpt)', LOAD_FIRST],
  '.pt': ['a PyTorch file', LOAD_FIRST],
  '.pth': ['a PyTorch file', LOAD_FIRST],
  '.bin': ['a PyTorch file', LOAD_FIRST],
  '.gguf': [
    'a GGUF file, made for llama.cpp and stable-diffusion.cpp',
    'Get the same model in the diffusers layout and export that: optimum-cli export onnx --model NAME NEW_FOLDER.',
  ],
  '.onnx': [
    'one graph, and a model is several with their configuration',
    'Choose the folder that holds model_index.json; the graph lies in one of its folders.',
  ],
  '.zip': ['an archive', 'Unpack it and choose the folder inside.'],
  '.gz': ['an archive', 'Unpack it and choose the folder inside.'],
  '.json': ['a configuration file', 'Choose the folder that it lies in.'],
};

/**
 * What a path is when it is no ONNX model folder, in one sentence with what to do; undefined when it may be one. Reads names
 * only.
 */
export function foreignReason(given: string): NorthlightError | undefined {
  const path = resolve(given);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    return new NorthlightError(
      'model/no-folder',
      `There is nothing at ${path}.`,
      'Check the path, or see: northlight models list',
    );
  }
  if (!found.isDirectory()) return foreignFile(path);
  if (existsSync(join(path, 'model_index.json'))) return foreignLayout(path);
  return parentOfModels(path) ?? partOfModel(path) ?? looseFiles(path);
}

function foreignFile(path: string): NorthlightError {
  if (basename(path) === 'model_index.json') {
    return new NorthlightError(
      'model/a-file',
      `${path} is the index of a model.`,
      `Choose its folder: ${dirname(path)}`,
    );
  }
  const [what, hint] = FILES[extname(path).toLowerCase()] ?? [
    'a file',
    'Choose the folder that holds model_index.json.',
  ];
  return new NorthlightError('model/a-file', `${basename(path)} is ${what}, not a model folder.`, hint);
}

/** Weights as PyTorch keeps them, where graphs should be. */
const TORCH_WEIGHTS = /\.(safetensors|bin|ckpt|pth?)(\.index\.json)?$/;
const DENOISERS = ['unet', 'transformer', 'denoiser'];

/** Pipelines whose samples are films. */
const VIDEO = /Video|AnimateDiff|CogVideo|Wan|LTX|Mochi|Latte|Allegro/;

function foreignLayout(path: string): NorthlightError | undefined {
  const index = optionalJson(join(path, 'model_index.json'));
  const className = String(index._class_name ?? '');
  if (VIDEO.test(className)) {
    return new NorthlightError(
      'model/video',
      `${path} is a video model (${className}); Northlight makes pictures and sequences.`,
      'Choose a model of pictures.',
    );
  }
  const parts = DENOISERS.map((name) => join(path, name)).filter(isFolder);
  const graphs = parts.some((part) => hasGraph(part)) || hasGraph(join(path, 'onnx'));
  const torch = parts.find((part) => namesIn(part).some((name) => TORCH_WEIGHTS.test(name)));
  if (graphs || torch === undefined) return undefined;
  return new NorthlightError(
    'model/pytorch',
    `${path} is a PyTorch model (${className || 'diffusers'}): ${join(basename(torch), 'model.onnx')} is not there, only PyTorch’s weights.`,
    CONVERT(path),
  );
}

function hasGraph(folder: string): boolean {
  return (
    [folder, join(folder, 'onnx')].some((f) => namesIn(f).some((name) => name.endsWith('.onnx'))) ||
    DENOISERS.some((name) => namesIn(join(folder, name)).some((file) => file.endsWith('.onnx')))
  );
}

const SHOWN = 5;

/** A folder one or two levels above model folders, as download caches and collections are. */
function parentOfModels(path: string): NorthlightError | undefined {
  const isModel = (folder: string) => existsSync(join(folder, 'model_index.json'));
  const children = foldersIn(path);
  const inside = [...children, ...children.flatMap(foldersIn), ...foldersIn(join(path, 'snapshots'))].filter(isModel);
  const models = [...new Set(inside)];
  if (models.length === 0) return undefined;
  const names = models.slice(0, SHOWN).map((m) => m.slice(path.length + 1));
  const more = models.length > SHOWN ? ` and ${models.length - SHOWN} more` : '';
  return new NorthlightError(
    'model/parent',
    `${path} holds ${models.length === 1 ? 'a model folder' : `${models.length} model folders`} but is none itself: ${names.join(', ')}${more}.`,
    models.length === 1 ? `Choose ${models[0]}` : 'Choose one of them.',
  );
}

/** `unet` rather than the folder above it. */
function partOfModel(path: string): NorthlightError | undefined {
  const parent = dirname(path);
  if (parent === path || !existsSync(join(parent, 'model_index.json'))) return undefined;
  return new NorthlightError('model/part', `${path} is one part of a model.`, `Choose the folder above it: ${parent}`);
}

function looseFiles(path: string): NorthlightError {
  const names = namesIn(path);
  const say = (message: string, hint: string) => new NorthlightError('model/not-a-model', message, hint);
  if (names.length === 0) return say(`${path} is empty.`, 'Choose the folder that holds model_index.json.');
  const adapter = names.find((n) => n === 'adapter_config.json' || /lora.*\.safetensors$/i.test(n));
  if (adapter !== undefined)
    return say(`${path} holds an adapter (${adapter}), not a model.`, 'Give it with --lora, together with a model.');
  const checkpoint = names.find((n) => TORCH_WEIGHTS.test(n));
  if (checkpoint !== undefined)
    return say(`${path} holds a PyTorch checkpoint (${checkpoint}), not an ONNX model folder.`, LOAD_FIRST);
  const gguf = names.find((n) => n.endsWith('.gguf'));
  if (gguf !== undefined) return say(`${path} holds ${FILES['.gguf']![0]} (${gguf}).`, FILES['.gguf']![1]);
  const graph = names.find((n) => n.endsWith('.onnx'));
  if (graph !== undefined) {
    return say(
      `${path} holds a graph (${graph}) but no model_index.json that says what it is for.`,
      'Export the whole pipeline: optimum-cli export onnx --model NAME NEW_FOLDER.',
    );
  }
  const parts = names.filter((n) => DENOISERS.includes(n) || n.startsWith('vae') || n.startsWith('text_encoder'));
  if (parts.length > 0) {
    return say(
      `${path} looks like a model (${parts.join(', ')}) but its model_index.json is missing.`,
      'Copy model_index.json from where the model came from.',
    );
  }
  return say(
    `${path} holds no model: there is no model_index.json in it.`,
    'Choose the folder that holds model_index.json.',
  );
}

const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Names in a folder, sorted; none where it cannot be read. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

const foldersIn = (folder: string) =>
  namesIn(folder)
    .map((name) => join(folder, name))
    .filter(isFolder);
