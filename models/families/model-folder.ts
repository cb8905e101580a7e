import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { sha256File } from '#models/files.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { isFloat, numel } from '#models/tensor/tensor.ts';

/** A model folder in the diffusers layout, looked into: graph signatures and configuration, not yet running. */
export interface ModelFolder {
  readonly path: string;
  readonly name: string;
  readonly family: string;
  readonly unetPath: string;
  readonly unet: Model;
  readonly textEncoderPath: string | null;
  readonly tokenizerPath: string | null;
  /** `scheduler_config.json` as it is. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
  /** Shape of one sample: `[C, H, W]`. */
  readonly dims: readonly [number, number, number];
  /** Shape of one prompt's encoding, `[T, D]`; null for a model without text. */
  readonly contextDims: readonly [number, number] | null;
  readonly predictionType: string;
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly description: string;
  readonly examplePrompts: readonly string[];
}

export interface ModelReport {
  readonly name: string;
  readonly family: string;
  readonly components: readonly string[];
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly width: number;
  readonly height: number;
  readonly predictionType: string;
  readonly usable: boolean;
  readonly problems: { message: string; hint: string }[];
  readonly description: string;
  readonly examplePrompts: string[];
  readonly hash: string;
}

const LAYOUT_HINT =
  'A model folder holds model_index.json, unet/model.onnx and scheduler/scheduler_config.json; see docs/formats.md.';

function readJson(path: string, what: string): Record<string, unknown> {
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

const optionalJson = (path: string): Record<string, unknown> =>
  existsSync(path) ? readJson(path, basename(path)) : {};

/**
 * Looks into a pixel-space model folder (`DDPMPipeline` layout, optional text encoder).
 * @throws {NorthlightError} `model/…` naming the first thing that is missing or unusable.
 */
export function openModelFolder(directory: string): ModelFolder {
  const path = resolve(directory);
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    throw new NorthlightError(
      'model/no-folder',
      `There is no model folder at ${path}.`,
      'Check the path, or see: northlight models list',
    );
  }
  const index = readJson(join(path, 'model_index.json'), 'The index of the model (model_index.json)');
  const family = String(index._class_name ?? '');
  if (family !== 'DDPMPipeline') {
    throw new NorthlightError(
      'model/family',
      `${path} is a ${family || 'model without a _class_name'}; this version runs pixel-space models (DDPMPipeline).`,
      'Choose a pixel-space model, or a bundled one: northlight models list',
    );
  }
  const unetPath = join(path, 'unet', 'model.onnx');
  if (!existsSync(unetPath))
    throw new NorthlightError('model/missing-file', `The denoiser is missing: ${unetPath}`, LAYOUT_HINT);
  const schedulerConfig = readJson(join(path, 'scheduler', 'scheduler_config.json'), 'The scheduler configuration');
  const unet = readModel(unetPath);
  const input = (name: string) => unet.graph.inputs.find((i) => i.name === name);
  const sampleDims = input('sample')?.dims;
  if (sampleDims?.length !== 4 || !input('timestep')) {
    throw new NorthlightError(
      'model/signature',
      `${unetPath} lacks the inputs "sample" [B,C,H,W] and "timestep".`,
      `It has: ${unet.graph.inputs.map((i) => i.name).join(', ')}. Export the UNet of a pixel-space pipeline.`,
    );
  }
  const config = optionalJson(join(path, 'unet', 'config.json'));
  const size = (i: number) => {
    const d = sampleDims[i];
    if (typeof d === 'number') return d;
    const fallback = i === 1 ? config.in_channels : config.sample_size;
    if (typeof fallback === 'number') return fallback;
    throw new NorthlightError(
      'model/size',
      `The picture size of ${unetPath} is free, and unet/config.json has no sample_size.`,
      'Add "sample_size" to unet/config.json.',
    );
  };
  const context = input('encoder_hidden_states');
  const textEncoderPath = join(path, 'text_encoder', 'model.onnx');
  const tokenizerPath = join(path, 'tokenizer');
  if (context && (!existsSync(textEncoderPath) || !existsSync(join(tokenizerPath, 'tokenizer.json')))) {
    throw new NorthlightError(
      'model/missing-file',
      `The denoiser reads a prompt, but ${existsSync(textEncoderPath) ? 'tokenizer/tokenizer.json' : 'text_encoder/model.onnx'} is missing in ${path}.`,
      'Copy the whole folder, the text encoder and tokenizer included.',
    );
  }
  const [tokens, width] = (context?.dims?.slice(1) ?? []) as (number | string | null)[];
  if (context && (typeof tokens !== 'number' || typeof width !== 'number')) {
    throw new NorthlightError(
      'model/signature',
      `The prompt input of ${unetPath} has free sizes.`,
      'Export it with a fixed number of tokens.',
    );
  }
  const own = optionalJson(join(path, 'northlight.json'));
  const files = modelFiles(path);
  return {
    path,
    name: typeof own.name === 'string' ? own.name : basename(path),
    family: 'pixel-space',
    unetPath,
    unet,
    textEncoderPath: context ? textEncoderPath : null,
    tokenizerPath: context ? tokenizerPath : null,
    schedulerConfig,
    dims: [size(1), size(2), size(3)],
    contextDims: context ? [tokens as number, width as number] : null,
    predictionType: typeof schedulerConfig.prediction_type === 'string' ? schedulerConfig.prediction_type : 'epsilon',
    parameters: countParameters(unet) + (context ? countParameters(readModel(textEncoderPath)) : 0),
    sizeBytes: files.reduce((sum, f) => sum + statSync(f).size, 0),
    description: typeof own.description === 'string' ? own.description : '',
    examplePrompts: Array.isArray(own.examplePrompts)
      ? own.examplePrompts.filter((p): p is string => typeof p === 'string')
      : [],
  };
}

/** What a folder is and, if it cannot run, what is wrong and how to mend it. Never throws for a bad folder. */
export function inspectModelFolder(directory: string): ModelReport {
  try {
    const m = openModelFolder(directory);
    return {
      name: m.name,
      family: m.family,
      components: ['unet', ...(m.textEncoderPath ? ['text_encoder', 'tokenizer'] : []), 'scheduler'],
      parameters: m.parameters,
      sizeBytes: m.sizeBytes,
      width: m.dims[2],
      height: m.dims[1],
      predictionType: m.predictionType,
      usable: true,
      problems: [],
      description: m.description,
      examplePrompts: [...m.examplePrompts],
      hash: hashModelFolder(m.path),
    };
  } catch (error) {
    if (!(error instanceof NorthlightError)) throw error;
    return {
      name: basename(resolve(directory)),
      family: 'unknown',
      components: [],
      parameters: 0,
      sizeBytes: 0,
      width: 0,
      height: 0,
      predictionType: '',
      usable: false,
      problems: [{ message: error.message, hint: error.hint }],
      description: '',
      examplePrompts: [],
      hash: '',
    };
  }
}

/** SHA-256 over the sorted list of `(file, SHA-256)` of what decides the model's output. */
export function hashModelFolder(directory: string): string {
  const hash = createHash('sha256');
  for (const file of modelFiles(directory))
    hash.update(`${relative(directory, file).replaceAll('\\', '/')}\n${sha256File(file)}\n`);
  return hash.digest('hex');
}

const PARTS = ['unet', 'text_encoder', 'tokenizer', 'scheduler'];

function modelFiles(directory: string): string[] {
  const parts = PARTS.map((p) => join(directory, p)).filter((p) => existsSync(p));
  const inside = parts.flatMap((p) =>
    readdirSync(p, { withFileTypes: true }).flatMap((e) => (e.isFile() ? [join(p, e.name)] : [])),
  );
  return [join(directory, 'model_index.json'), ...inside].sort();
}

function countParameters(model: Model): number {
  let n = 0;
  for (const t of model.graph.initializers.values())
    if (isFloat(t.dtype)) n += isExternal(t) ? numel(t.dims) : t.data.length;
  return n;
}
