import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { readPngText, withPngText } from '#pipelines/images/png-text.ts';
import { generatePictures, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import { readStart, type StartFiles } from '#pipelines/sampling/initial-picture.ts';
import { type AdapterFile, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { writeTinyModel } from './tiny-model.ts';

const SETTINGS: SamplingSettings = {
  scheduler: 'ddim',
  steps: 2,
  eta: 1,
  guidanceScale: 3,
  negativePrompt: 'a white lily',
  seed: 5,
  keepTrajectories: true,
};

/** One picture of two steps, the fourth of its batch, by a model folder. */
export async function makePicture(
  path: string,
  model: string,
  adapters: AdapterFile[] = [],
  from?: StartFiles,
): Promise<void> {
  const pipeline = await loadPipeline(model, { adapters, threads: 1 });
  const requests = [{ prompt: 'a red tulip', index: 3, noiseIndex: 1 }];
  const start = from ? { start: await readStart(from, pipeline.model.size) } : {};
  const pictures = generatePictures({ pipeline, settings: SETTINGS, requests, ...start });
  for await (const made of pictures) writeFileSync(path, made.png);
  await pipeline.close();
}

export interface MadePictures {
  /** A model, and another of the same kind. */
  readonly model: string;
  readonly other: string;
  /** By the model, without and with the adapter. */
  readonly plain: string;
  readonly adapted: string;
  readonly adapter: string;
}

export async function makePictures(folder: string): Promise<MadePictures> {
  const at = (name: string) => join(folder, name);
  const made = {
    model: writeTinyModel(at('tiny')),
    other: writeTinyModel(at('other'), 2),
    plain: at('plain.png'),
    adapted: at('adapted.png'),
    adapter: at('style.safetensors'),
  };
  const pipeline = await loadPipeline(made.model, { threads: 1 });
  const scale = { rank: 2, alpha: 2 };
  const targets = findLoraTargets(pipeline.folder.unet, 'all');
  const config = { ...scale, targets: 'all' } as const;
  writeLoraFile(made.adapter, { targets, config, parameters: randomLora(targets, scale, 4) });
  await pipeline.close();
  await makePicture(made.plain, made.model);
  await makePicture(made.adapted, made.model, [{ path: made.adapter, weight: 0.5 }]);
  return made;
}

/** A copy of a picture whose settings say something else. */
export function withSettings(path: string, copy: string, change: (settings: Record<string, unknown>) => void): string {
  const bytes = readFileSync(path);
  const settings = JSON.parse(readPngText(bytes).northlight!) as Record<string, unknown>;
  change(settings);
  writeFileSync(copy, withPngText(bytes, { northlight: JSON.stringify(settings) }));
  return copy;
}
