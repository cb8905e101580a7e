import { readFileSync } from 'node:fs';
import { NorthlightError } from '#models/errors.ts';
import { rememberedProvider } from '#pipelines/sampling/model-trials.ts';
import { type ImagePipeline, loadPipeline, sizeOf } from '#pipelines/sampling/pipeline.ts';
import type { SamplerName } from '#pipelines/schedulers/names.ts';
import { findModel } from './bundled.ts';
import type { Io } from './command.ts';
import { parseLora } from './lora-option.ts';
import type { MakeOptions } from './make-options.ts';

/** Opens a model of pictures with what the command line says of it, on what is fastest here. Close the pipeline. */
export async function openPictures(options: MakeOptions, io: Io) {
  const modelPath = findModel(options.model);
  const adapters = options.lora.map(parseLora);
  io.progress('opening the model', 0, 0);
  const threads = options.threads ? { threads: options.threads } : {};
  const chosen = options.provider === 'auto' ? await rememberedProvider(modelPath, threads) : null;
  if (chosen && chosen.provider !== 'cpu') io.note(`Networks run on ${chosen.provider}: ${chosen.because}`);
  const provider = options.provider === 'auto' ? (chosen?.provider ?? 'cpu') : options.provider;
  return {
    pipeline: await loadPipeline(modelPath, { adapters, provider, clipSkip: options.clipSkip, ...threads }),
    provider,
    adapters,
  };
}

/**
 * How to sample pictures.
 * @param random whether steps are to have noise where the command line does not say.
 */
export function pictureSettings(options: MakeOptions, { folder, model }: ImagePipeline, random: boolean) {
  const pixels = sizeOf(folder, parseSize(options.size));
  return {
    scheduler: schedulerOf(options.scheduler),
    steps: options.steps ?? numberOf(folder.schedulerConfig.num_inference_steps) ?? model.defaults.steps,
    eta: options.eta ?? (random ? 1 : 0),
    guidanceScale: options.guidance ?? model.defaults.guidanceScale,
    negativePrompt: options.negative,
    seed: options.seed,
    ...(options.size ? pixels : {}),
  };
}

function schedulerOf(name: MakeOptions['scheduler']): SamplerName | undefined {
  if (name !== 'masked' && name !== 'masked-one-at-a-time') return name;
  throw new NorthlightError('usage', `--scheduler ${name} needs a sequence model.`, 'Use ddim, or leave it out.');
}

/** What to draw: prompts, or the class of a model of classes. */
export function readPrompts(options: MakeOptions, pipeline: ImagePipeline): string[] {
  const prompts = [...options.prompt];
  if (options.class !== undefined) {
    if (pipeline.model.classes === null)
      throw new NorthlightError('usage', '--class needs a class-conditional model.', 'Use --prompt.');
    prompts.push(options.class);
  }
  if (options.prompts !== undefined) {
    try {
      prompts.push(
        ...readFileSync(options.prompts, 'utf8')
          .split('\n')
          .map((l) => l.trim())
          .filter(Boolean),
      );
    } catch {
      throw new NorthlightError(
        'usage',
        `The prompt file ${options.prompts} cannot be read.`,
        'Check the path given with --prompts.',
      );
    }
  }
  return prompts.length > 0 ? prompts : [''];
}

/** WIDTHxHEIGHT */
function parseSize(size: string | undefined): { width?: number; height?: number } {
  if (size === undefined) return {};
  const [width, height] = size.split('x').map(Number) as [number, number];
  return { width, height };
}

const numberOf = (v: unknown): number | undefined => (typeof v === 'number' ? v : undefined);
