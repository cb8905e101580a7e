import { rememberedModelHash } from '#models/families/index.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import { generatePictures, type SamplingSettings } from '#pipelines/sampling/generate.ts';
import {
  generateSequences,
  type SequencePipeline,
  type SequenceSettings,
} from '#pipelines/sampling/generate-sequences.ts';
import type { ImagePipeline } from '#pipelines/sampling/pipeline.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import { usedAdapters } from '#pipelines/sampling/used-adapters.ts';

/** Samples of a model for a value network to learn from, a few at a time. */
export interface ValueSource {
  /** What they depend on. */
  readonly identity: object;
  readonly modelHash: string;
  readonly calls: { readonly count: number };
  /** Samples `from` … `from + count − 1`. @param how `onStep` is told the share that is done, `checkpoint` stops by throwing. */
  make(
    from: number,
    count: number,
    by: { readonly steering: Steering; readonly spec: string; readonly reward: Reward },
    how: { onStep(share: number): void; checkpoint(): void; onNote?(message: string): void },
  ): Promise<void>;
}

export async function sequenceValueSource(
  pipeline: SequencePipeline,
  settings: SequenceSettings,
  adapters: readonly object[],
): Promise<ValueSource> {
  return {
    identity: { settings, adapters },
    modelHash: await rememberedModelHash(pipeline.model.path),
    calls: pipeline.calls,
    async make(first, count, { steering, spec, reward }, { onStep, checkpoint }) {
      const score = (sequences: readonly string[]) =>
        scoreWith(
          reward,
          sequences.map((sequence) => ({ kind: 'sequence', sequence })),
        );
      const stream = generateSequences({
        pipeline,
        settings,
        first,
        count,
        steered: { steering, reward: spec, score },
        onStep: ({ step, total }) => onStep(step / total),
        checkpoint,
      });
      for await (const _ of stream);
    },
  };
}

export async function pictureValueSource(
  pipeline: ImagePipeline,
  settings: SamplingSettings,
  prompts: readonly string[],
): Promise<ValueSource> {
  return {
    identity: { settings, prompts, adapters: usedAdapters(pipeline.options) },
    modelHash: await rememberedModelHash(pipeline.folder.path),
    calls: pipeline.calls,
    async make(from, count, { steering, spec, reward }, { onStep, checkpoint, onNote }) {
      const requests = Array.from({ length: count }, (_, i) => {
        const index = from + i;
        return { prompt: prompts[index % prompts.length]!, index, noiseIndex: index };
      });
      const stream = generatePictures({
        pipeline,
        settings,
        requests,
        batch: count,
        steered: { steering, reward: spec, score: (items) => scoreWith(reward, items) },
        onStep: ({ step, total }) => onStep(step / total),
        ...(onNote && { onNote }),
        checkpoint,
      });
      for await (const _ of stream);
    },
  };
}
