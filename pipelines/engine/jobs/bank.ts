import { readBank } from '#pipelines/bank/bank.ts';
import { growBank } from '#pipelines/bank/grow.ts';
import { pictureSource } from '#pipelines/bank/picture-source.ts';
import { scoreBank } from '#pipelines/bank/score-bank.ts';
import { sequenceSource } from '#pipelines/bank/sequence-source.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import type { JobContext, JobFunction } from '#pipelines/engine/job-protocol.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
import { loadSequencePipeline } from '#pipelines/sampling/generate-sequences.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { type BankPayload, bankPayload } from './bank-payload.ts';
import { stopIfAsked } from './control.ts';
import { createKeptModel } from './kept-model.ts';
import { wantModel } from './wanted-model.ts';

/** Plain samples for a bank, and what rewards say of them. What the bank has is its journal: a job that resumes makes the rest. */
export const bank: JobFunction = async (payload, context) => {
  const p = bankPayload.parse(payload);
  const checkpoint = () => stopIfAsked(context);
  const { source, close } = await openSource(p, context);
  try {
    const before = readBank(context.project, source.identity);
    const grown = await growBank(before, source, p.count, {
      checkpoint,
      onProgress: (done) =>
        context.progress(`plain sample ${Math.min(Math.floor(done) + 1, p.count)} of ${p.count}`, done, p.count),
    });
    const host = context.threads ? { threads: context.threads } : {};
    for (const reward of p.rewards) {
      await scoreBank(grown, reward, host, {
        checkpoint,
        onProgress: (done) =>
          context.progress(`${rewardLabel(reward)} looks at ${done} of ${grown.items.length}`, p.count, p.count),
      });
    }
    return { key: grown.key, samples: grown.items.length };
  } finally {
    await close();
  }
};

async function openSource(
  p: BankPayload,
  context: JobContext,
): Promise<{ source: BankSource; close(): Promise<void> }> {
  context.progress('opening the model', 0, p.count);
  if (p.makes === 'pictures') {
    const models = context.models ?? createKeptModel();
    const pipeline = await models.open(wantModel(p.modelPath, p.adapterPath, context.threads, p.settings.clipSkip));
    const settings = { ...p.settings, seed: 0, keepTrajectories: false };
    const source = await pictureSource(pipeline, settings, p.prompts);
    return { source, close: async () => (context.models ? undefined : models.close()) };
  }
  const adapters = p.adapterPath === null ? [] : [{ path: p.adapterPath, weight: 1 }];
  const pipeline = await loadSequencePipeline(p.modelPath, {
    adapters,
    ...(context.threads ? { threads: context.threads } : {}),
  });
  const source = await sequenceSource(
    pipeline,
    { ...p.settings, seed: 0 },
    { adapters: adapters.map(({ path, weight }) => ({ sha256: hashAdapter(path), weight })), provider: 'cpu' },
  );
  return { source, close: pipeline.close };
}
