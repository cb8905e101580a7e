import { NorthlightError } from '#models/errors.ts';
import { storeBlob } from '#pipelines/engine/blobs.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { algorithms } from '#pipelines/finetune/index.ts';
import { tunePayload } from './payloads.ts';

/** Fine-tunes an adapter in its run directory, from its last checkpoint when there is one. */
export const tune: JobFunction = async (payload, context) => {
  const p = tunePayload.parse(payload);
  const algorithm = algorithms[p.algorithm];
  if (!algorithm)
    throw new NorthlightError(
      'tune/algorithm',
      `There is no algorithm "${p.algorithm}".`,
      `Known: ${Object.keys(algorithms).join(', ')}.`,
    );
  return algorithm.run({
    runDirectory: p.runDirectory,
    modelPath: p.modelPath,
    config: algorithm.schema.parse(p.config),
    pairs: p.pairs,
    stripPrompts: p.stripPrompts,
    threads: context.threads,
    provider: p.provider,
    progress: (stage, done, total) => context.progress(stage, done, total),
    planned: (plan) => context.event('planned', plan),
    metrics: (step, values) => context.event('metrics', { step, values }),
    strip: (step, pictures) =>
      context.event('strip', {
        step,
        pictures: pictures.map(({ prompt, png }) => ({ prompt, hash: storeBlob(context.project, png) })),
      }),
    request: () => {
      const { request } = context.control;
      if (request === 'stop-and-keep') return 'keep';
      return request === 'run' ? 'run' : 'stop';
    },
  });
};
