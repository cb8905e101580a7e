import { NorthlightError } from '#models/errors.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { algorithms } from '#pipelines/finetune/index.ts';
import { estimatePayload } from './payloads.ts';

/** What a tuning run would take: memory and time. */
export const estimate: JobFunction = async (payload, context) => {
  const p = estimatePayload.parse(payload);
  const algorithm = algorithms[p.algorithm];
  if (!algorithm) throw new NorthlightError('tune/algorithm', `There is no algorithm "${p.algorithm}".`);
  return algorithm.estimate({ ...p, config: algorithm.schema.parse(p.config), threads: context.threads });
};
