import { basename, join } from 'node:path';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import type { ImageModel } from './family.ts';
import { findFolder, optionalJson } from './find-folder.ts';
import { sizeOfModel } from './hash-folder.ts';
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
    sizeBytes: sizeOfModel(path),
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

/** The folder of a part: the first name below the model's folder that is not `onnx`. */
export function partOf(root: string, path: string): string {
  const names = path
    .slice(root.length)
    .split(/[\\/]/)
    .filter((n) => n !== '' && n !== 'onnx');
  return names[0] ?? path;
}
