import { rememberedModelHash } from '#models/families/index.ts';
import {
  generateSequences,
  type SequencePipeline,
  type SequenceSettings,
  withDefaults,
} from '#pipelines/sampling/generate-sequences.ts';
import { sequenceIdentity } from './identity.ts';
import { BANK_SEED, type BankIdentity } from './key.ts';
import type { BankSource } from './source.ts';

/** Plain sequences of a pipeline for a bank. */
export async function sequenceSource(
  pipeline: SequencePipeline,
  asked: SequenceSettings,
  of: { readonly adapters: BankIdentity['adapters']; readonly provider: string },
): Promise<BankSource> {
  const { seed: _seed, ...settings } = withDefaults(pipeline, asked);
  const identity = sequenceIdentity({
    model: await rememberedModelHash(pipeline.model.path),
    className: settings.classId === null ? '' : (pipeline.model.classes[settings.classId] ?? ''),
    settings,
    ...of,
  });
  return {
    identity,
    calls: pipeline.calls,
    async *make(from, to, { onStep, checkpoint }) {
      const sequences = generateSequences({
        pipeline,
        settings: { ...settings, seed: BANK_SEED },
        first: from,
        count: to - from,
        onStep: ({ step, total, batch }) => onStep?.((batch * step) / total),
        ...(checkpoint ? { checkpoint } : {}),
      });
      for await (const { index, sequence, tokens } of sequences) {
        yield { index, prompt: identity.prompts[0]!, sample: { kind: 'sequence', sequence, tokens: [...tokens] } };
      }
    },
  };
}
