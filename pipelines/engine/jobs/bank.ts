import { readBank } from '#pipelines/bank/bank.ts';
import { growBank } from '#pipelines/bank/grow.ts';
import { pictureSource } from '#pipelines/bank/picture-source.ts';
import { scoreBank } from '#pipelines/bank/score-bank.ts';
import { sequenceSource } from '#pipelines/bank/sequence-source.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import type { JobContext, JobFunction } from '#pipelines/engine/job-protocol.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
import { type BankPayload, bankPayload } from './bank-payload.ts';
import { stopIfAsked } from './control.ts';
import { openPlain } from './open-plain.ts';

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
  const opened = await openPlain(p, context);
  if (opened.makes === 'pictures') {
    return { source: await pictureSource(opened.pipeline, opened.settings, opened.prompts), close: opened.close };
  }
  const { pipeline, settings, adapters, close } = opened;
  return { source: await sequenceSource(pipeline, settings, { adapters, provider: 'cpu' }), close };
}
