import { rememberedModelHash } from '#models/families/index.ts';
import { generatePictures, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import { type ImagePipeline, sizeOf } from '#pipelines/sampling/pipeline.ts';
import { usedAdapters } from '#pipelines/sampling/used-adapters.ts';
import { samplerOf } from '#pipelines/schedulers/index.ts';
import { ETA_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { BANK_SEED, type BankIdentity, promptSet } from './key.ts';
import type { BankSource } from './source.ts';

/** Settings of pictures that are complete: sampler and size are said. */
export interface PictureSettings extends SamplingSettings {
  readonly scheduler: NonNullable<SamplingSettings['scheduler']>;
  readonly width: number;
  readonly height: number;
  /** Where it is not 1. */
  readonly clipSkip?: number;
}

/** The bank of plain pictures that settings for steered ones are compared with. */
export function pictureIdentity(of: {
  readonly model: string;
  readonly adapters: BankIdentity['adapters'];
  readonly prompts: readonly string[];
  readonly settings: PictureSettings;
  readonly provider: string;
}): BankIdentity {
  // Neither where the seed of a run starts nor what is kept of it changes what plain pictures are like.
  const { seed: _seed, keepTrajectories: _kept, tile: _tile, eta, ...settings } = of.settings;
  const said = { ...settings, eta: ETA_SAMPLERS.includes(settings.scheduler) ? eta : 0 };
  return {
    kind: 'image',
    model: of.model,
    adapters: [...of.adapters],
    prompts: promptSet(of.prompts),
    settings: JSON.parse(JSON.stringify(said)) as BankIdentity['settings'],
    seed: BANK_SEED,
    provider: of.provider,
  };
}

/** Plain pictures of a pipeline for a bank. */
export async function pictureSource(
  pipeline: ImagePipeline,
  asked: SamplingSettings,
  prompts: readonly string[],
): Promise<BankSource> {
  const settings: PictureSettings = {
    ...asked,
    ...sizeOf(pipeline.folder, asked),
    scheduler: asked.scheduler ?? samplerOf(pipeline.scheduler),
    seed: BANK_SEED,
    keepTrajectories: false,
    ...((pipeline.options.clipSkip ?? 1) !== 1 ? { clipSkip: pipeline.options.clipSkip! } : {}),
  };
  const identity = pictureIdentity({
    model: await rememberedModelHash(pipeline.folder.path),
    adapters: usedAdapters(pipeline.options).map(({ hash, weight }) => ({ sha256: hash, weight })),
    prompts,
    settings,
    provider: pipeline.options.provider ?? 'cpu',
  });
  return {
    identity,
    calls: pipeline.calls,
    async *make(from, to, { onStep, checkpoint, onNote }) {
      const requests = Array.from({ length: to - from }, (_, i) => ({
        prompt: identity.prompts[(from + i) % identity.prompts.length]!,
        index: from + i,
        noiseIndex: from + i,
      }));
      const pictures = generatePictures({
        pipeline,
        settings,
        requests,
        onStep: ({ positions, step, total }) => onStep?.((positions.length * step) / total),
        ...(checkpoint ? { checkpoint } : {}),
        ...(onNote ? { onNote } : {}),
      });
      for await (const { index, prompt, hash, png } of pictures) {
        yield { index, prompt, sample: { kind: 'image', hash }, png };
      }
    },
  };
}
