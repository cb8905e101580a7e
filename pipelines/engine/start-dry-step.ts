import { freemem } from 'node:os';
import { newId } from '#pipelines/store/ids.ts';
import { jobs } from '#pipelines/store/jobs.ts';
import type { EngineContext } from './context.ts';
import type { Job, Model } from './contract.ts';
import type { DryStepPayload } from './jobs/payloads.ts';

/** Of the memory that is free, the share that a model's files may have to be opened without anybody having asked. */
const UNASKED_SHARE = 0.5;

/** One small step of a model, as a job; its result is kept with the report of the model. */
export async function startDryStep({ catalog, queue }: EngineContext, model: Model): Promise<Job> {
  const payload: DryStepPayload = { modelPath: model.path, stamp: await catalog.stamp(model.id) };
  const job = queue.add({
    id: newId('job'),
    kind: 'dry-step',
    title: `One step of ${model.name}`,
    total: 3,
    payload,
    origin: { modelId: model.id, adapterId: null, adapterA: null, adapterB: null },
    runId: null,
    sessionId: null,
  });
  queue.start();
  return queue.get(job.id);
}

/** As {@link startDryStep}, where it has not been tried, nothing is about to, and memory is not short. */
export async function tryNewModel(context: EngineContext, model: Model): Promise<void> {
  const known = model.dryStep !== null || jobs.unfinishedOf(context.project.db, model.id) > 0;
  if (known || !model.usable || model.sampling === null) return;
  if (model.sizeBytes <= UNASKED_SHARE * freemem()) await startDryStep(context, model);
}
