import { statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import type { ImageModel } from './family.ts';
import { findFolder, optionalJson } from './find-folder.ts';
import { hashModelFolder, modelFiles } from './hash-folder.ts';
import { recogniseFamily } from './recognise.ts';
import type { FoundFolder } from './types.ts';

/** A model folder in the diffusers layout, looked into: graph signatures and configuration, not yet running. */
export interface ModelFolder {
  readonly path: string;
  readonly name: string;
  readonly family: string;
  readonly found: FoundFolder;
  readonly model: ImageModel;
  readonly unetPath: string;
  /** The denoiser's graph, read when first asked for: weights inside its file are then in memory. */
  readonly unet: Model;
  /** `scheduler_config.json`, with what the family adds. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
  /** Shape of one sample at the usual size: `[C, H, W]`. */
  readonly dims: readonly [number, number, number];
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

/**
 * Looks into a model folder of any image family. Weights are not read.
 * @throws {NorthlightError} `model/…` naming the first thing that is missing or unusable.
 */
export function openModelFolder(directory: string): ModelFolder {
  const found = findFolder(directory);
  const { path } = found;
  const model = recogniseFamily(found).open(found);
  const own = optionalJson(join(path, 'northlight.json'));
  const unetPath = model.denoiser.component.path;
  let unet: Model | undefined;
  return {
    path,
    name: typeof own.name === 'string' ? own.name : basename(path),
    family: model.family,
    found,
    model,
    unetPath,
    get unet() {
      unet ??= readModel(unetPath);
      return unet;
    },
    schedulerConfig: model.schedulerConfig,
    dims: latentDims(model, model.size),
    predictionType: predictionType(model),
    parameters: [...found.components.values()].reduce((sum, c) => sum + c.signature.parameters, 0),
    sizeBytes: modelFiles(path).reduce((sum, f) => sum + statSync(f).size, 0),
    description: typeof own.description === 'string' ? own.description : '',
    examplePrompts: Array.isArray(own.examplePrompts)
      ? own.examplePrompts.filter((p): p is string => typeof p === 'string')
      : [],
  };
}

/** Shape `[C, H, W]` of a sample that becomes a picture of this many pixels. */
export function latentDims(model: ImageModel, size: { width: number; height: number }): [number, number, number] {
  const factor = model.vae?.scaleFactor ?? 1;
  return [model.denoiser.channels, size.height / factor, size.width / factor];
}

function predictionType({ schedulerConfig }: ImageModel): string {
  const { prediction_type: given, _class_name: name } = schedulerConfig;
  if (typeof given === 'string') return given;
  return typeof name === 'string' && name.startsWith('FlowMatch') ? 'flow_velocity' : 'epsilon';
}

/** What a folder is and, if it cannot run, what is wrong and how to mend it. Never throws for a bad folder. */
export function inspectModelFolder(directory: string): ModelReport {
  try {
    const m = openModelFolder(directory);
    const names = [...m.found.components.values()].map((c) => basename(partOf(m.path, c.path)));
    return {
      name: m.name,
      family: m.family,
      components: [...names, ...m.found.tokenizers.keys(), 'scheduler'],
      parameters: m.parameters,
      sizeBytes: m.sizeBytes,
      width: m.model.size.width,
      height: m.model.size.height,
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

/** The folder of a part: the first name below the model's folder that is not `onnx`. */
function partOf(root: string, path: string): string {
  const names = path
    .slice(root.length)
    .split(/[\\/]/)
    .filter((n) => n !== '' && n !== 'onnx');
  return names[0] ?? path;
}
