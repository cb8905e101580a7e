import type { JobContext } from '#pipelines/engine/job-protocol.ts';
import { loadSequencePipeline } from '#pipelines/sampling/generate-sequences.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import type { BankPayload } from './bank-payload.ts';
import { createKeptModel } from './kept-model.ts';
import { wantModel } from './wanted-model.ts';

/** The model of a form, open, with its settings and seed 0. Close it. */
export async function openPlain(p: BankPayload, context: JobContext) {
  if (p.makes === 'pictures') {
    const models = context.models ?? createKeptModel();
    const pipeline = await models.open(wantModel(p.modelPath, p.adapterPath, context.threads, p.settings.clipSkip));
    return {
      makes: p.makes,
      pipeline,
      settings: { ...p.settings, seed: 0, keepTrajectories: false },
      prompts: p.prompts,
      close: async () => (context.models ? undefined : models.close()),
    };
  }
  const files = p.adapterPath === null ? [] : [{ path: p.adapterPath, weight: 1 }];
  const threads = context.threads ? { threads: context.threads } : {};
  const pipeline = await loadSequencePipeline(p.modelPath, { adapters: files, ...threads });
  return {
    makes: p.makes,
    pipeline,
    settings: { ...p.settings, seed: 0 },
    adapters: files.map(({ path, weight }) => ({ sha256: hashAdapter(path), weight })),
    close: pipeline.close,
  };
}
