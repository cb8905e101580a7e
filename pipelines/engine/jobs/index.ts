import { loadRuntime } from '#models/runtime/session.ts';
import type { JobFunction, JobSpec } from '#pipelines/engine/job-protocol.ts';
import type { ComputeWork } from '#pipelines/engine/run-compute.ts';
import { bank } from './bank.ts';
import { compare } from './compare.ts';
import { JobStopped } from './control.ts';
import { tryDryStep } from './dry-step.ts';
import { estimate } from './estimate.ts';
import { generate } from './generate.ts';
import { createKeptModel } from './kept-model.ts';
import { reproduce } from './reproduce.ts';
import { score } from './score.ts';
import { tune } from './tune.ts';
import { values } from './values.ts';
import { verify } from './verify.ts';

/** A job that stops because it was told to has not failed: it returns, and its journal says how far it came. */
const stoppable =
  (job: JobFunction): JobFunction =>
  async (payload, context) => {
    try {
      return await job(payload, context);
    } catch (error) {
      if (error instanceof JobStopped) return null;
      throw error;
    }
  };

export const jobs: Record<JobSpec['kind'], JobFunction> = {
  generate: stoppable(generate),
  compare: stoppable(compare),
  tune: stoppable(tune),
  verify: stoppable(verify),
  score: stoppable(score),
  reproduce: stoppable(reproduce),
  estimate: stoppable(estimate),
  bank: stoppable(bank),
  values: stoppable(values),
  'dry-step': stoppable(tryDryStep),
};

const models = createKeptModel();

/** All that a compute process does. */
export const work: ComputeWork = {
  jobs,
  models,
  async warm(model) {
    loadRuntime();
    if (model === null) return;
    const pipeline = await models.open(model);
    // Nearly every picture steers away from nothing, which has to be read too.
    await pipeline.encode([''], '');
  },
};
