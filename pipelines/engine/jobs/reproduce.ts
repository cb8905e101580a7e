import { existsSync } from 'node:fs';
import { samplePath, storeBlob } from '#pipelines/engine/blobs.ts';
import type { Reproduction } from '#pipelines/engine/contract.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { reproducePicture } from '#pipelines/sampling/reproduce.ts';
import { stopIfAsked } from './control.ts';
import { reproducePayload } from './payloads.ts';

/** Makes one picture again from the settings in its file and compares the two. */
export const reproduce: JobFunction = async (payload, context): Promise<Reproduction> => {
  const p = reproducePayload.parse(payload);
  const found = await reproducePicture({
    picture: p.picturePath,
    modelPath: p.modelPath,
    adapters: new Map(p.adapters.map((adapter) => [adapter.hash, adapter.path])),
    pictureOf: (hash) => {
      const path = samplePath(context.project, hash);
      return existsSync(path) ? path : null;
    },
    ...(context.threads ? { threads: context.threads } : {}),
    onStep: ({ step, total }) => context.progress('making the picture again', step, total),
    checkpoint: () => stopIfAsked(context),
  });
  return {
    identical: found.identical,
    ...found.difference,
    notes: [...found.notes],
    originalHash: found.originalHash,
    hash: storeBlob(context.project, found.png),
    amplified: found.amplified && {
      hash: storeBlob(context.project, found.amplified.png),
      factor: found.amplified.factor,
    },
  };
};
