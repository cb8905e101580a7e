import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { generatePayload } from './payloads.ts';
import { makePictures } from './pictures.ts';
import { sequencesPayload } from './sequence-payload.ts';
import { makeSequences } from './sequences.ts';

/** Pictures of one model, `count` for each prompt; or sequences. */
export const generate: JobFunction = async (payload, context) => {
  const sequences = sequencesPayload.safeParse(payload);
  if (sequences.success) return makeSequences(sequences.data, context);
  const p = generatePayload.parse(payload);
  return makePictures(
    [
      {
        modelPath: p.modelPath,
        adapterPath: p.adapterPath,
        side: null,
        clipSkip: p.clipSkip ?? 1,
        steering: p.steering ?? null,
        start: p.start ? { ...p.start, mask: p.start.mask ?? undefined } : null,
        settings: {
          scheduler: p.scheduler,
          steps: p.steps,
          eta: p.eta,
          guidanceScale: p.guidanceScale,
          negativePrompt: p.negativePrompt,
          seed: p.seed,
          keepTrajectories: p.keepTrajectories,
          width: p.width ?? undefined,
          height: p.height ?? undefined,
        },
        requests: p.prompts.flatMap((prompt, i) =>
          Array.from({ length: p.count }, (_, k) => ({
            prompt,
            index: i * p.count + k,
            noiseIndex: p.shareInitialNoise ? i * p.count : i * p.count + k,
          })),
        ),
      },
    ],
    context,
  );
};
