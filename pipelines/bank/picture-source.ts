import { rememberedModelHash } from '#models/families/index.ts';
import { generatePictures, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import { type ImagePipeline, sizeOf } from '#pipelines/sampling/pipeline.ts';
import { usedAdapters } from '#pipelines/sampling/used-adapters.ts';
import { samplerOf } from '#pipelines/schedulers/index.ts';
import { pictureIdentity } from './identity.ts';
import { BANK_SEED } from './key.ts';
import type { BankSource } from './source.ts';

/** Plain pictures of a pipeline for a bank. */
export async function pictureSource(
  pipeline: ImagePipeline,
  asked: SamplingSettings,
  prompts: readonly string[],
): Promise<BankSource> {
  const settings = {
    ...asked,
    ...sizeOf(pipeline.folder, asked),
    scheduler: asked.scheduler ?? samplerOf(pipeline.scheduler),
    seed: BANK_SEED,
    keepTrajectories: false,
  };
  const identity = pictureIdentity({
    model: await rememberedModelHash(pipeline.folder.path),
    adapters: usedAdapters(pipeline.options).map(({ hash, weight }) => ({ sha256: hash, weight })),
    prompts,
    settings: { ...settings, clipSkip: pipeline.options.clipSkip ?? 1 },
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
