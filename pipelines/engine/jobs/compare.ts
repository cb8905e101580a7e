import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { comparePayload } from './payloads.ts';
import { makePictures } from './pictures.ts';

/** The same prompts and noise through two versions of a model. */
export const compare: JobFunction = async (payload, context) => {
  const p = comparePayload.parse(payload);
  const requests = p.prompts.flatMap((prompt, i) =>
    Array.from({ length: p.perPrompt }, (_, k) => ({
      prompt,
      index: i * p.perPrompt + k,
      noiseIndex: i * p.perPrompt + k,
    })),
  );
  const settings = {
    scheduler: p.scheduler,
    steps: p.steps,
    eta: p.eta,
    guidanceScale: p.guidanceScale,
    negativePrompt: p.negativePrompt,
    seed: p.seed,
    keepTrajectories: false,
  };
  const set = (side: 'A' | 'B', adapterPath: string | null) => ({
    modelPath: p.modelPath,
    adapterPath,
    side,
    settings,
    requests,
  });
  return makePictures([set('A', p.adapterAPath), set('B', p.adapterBPath)], context);
};
