import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';
import { copyModelFolder } from '#pipelines/engine/copy-model.ts';
import { startDryStep, tryNewModel } from '#pipelines/engine/start-dry-step.ts';
import { askTokenCounts } from '#pipelines/engine/token-counter.ts';
import { jobs } from '#pipelines/store/jobs.ts';

/** The copy that an engine is making: one at a time, because two would only share the disk. */
const copying = new WeakMap<EngineContext, AbortController>();

async function addCopy(path: string, context: EngineContext) {
  const { catalog, project, emit } = context;
  const report = await catalog.examine(path);
  // What cannot run is not worth gigabytes: it is listed where it is, with its faults.
  if (!report.usable) return catalog.add(path);
  if (copying.has(context)) {
    throw new NorthlightError('models/copying', 'A model is being copied already.', 'Wait for it, or cancel it.');
  }
  const abort = new AbortController();
  copying.set(context, abort);
  try {
    let told = 0;
    const target = await copyModelFolder(report.path, join(project.directory, 'models'), {
      signal: abort.signal,
      progress: (doneBytes, totalBytes) => {
        const now = Date.now();
        if (doneBytes < totalBytes && now - told < PROGRESS_MS) return;
        told = now;
        emit('modelCopy', { path, doneBytes, totalBytes });
      },
    });
    return await catalog.add(target);
  } finally {
    copying.delete(context);
  }
}

const PROGRESS_MS = 100;

export const models: Handlers<'models'> = {
  'models.list': (_input, { catalog }) => catalog.list(),
  'models.add': async ({ path, copy, dryStep }, context) => {
    const model = await (copy ? addCopy(path, context) : context.catalog.add(path));
    if (dryStep) await tryNewModel(context, model);
    return model;
  },
  'models.dryStep': async ({ id }, context) => {
    const model = await context.catalog.usable(id);
    if (model.sampling !== null) return startDryStep(context, model);
    throw new NorthlightError(
      'models/no-dry-step',
      `"${model.name}" does not make pictures; only models of pictures are tried by one step.`,
    );
  },
  'models.cancelCopy': (_input, context) => {
    copying.get(context)?.abort();
    return {};
  },
  'models.report': ({ id }, { catalog }) => catalog.report(id),
  'models.remove': async ({ id, deleteCopy }, { catalog, project, host }) => {
    if (jobs.unfinishedOf(project.db, id) > 0) {
      throw new NorthlightError('models/in-use', 'A job that waits or runs uses this model.', 'Cancel that job first.');
    }
    // Some systems do not delete a file that is open.
    if (deleteCopy) await host.release();
    catalog.remove(id, deleteCopy);
    return {};
  },
  'models.measure': async ({ id }, { catalog }) => {
    const { measureModel } = await import('#pipelines/sampling/model-trials.ts');
    const trials = await measureModel((await catalog.usable(id)).path);
    return trials.map(({ provider, trusted, reason, seconds, agreement, startSeconds, peakBytes }) => {
      return { provider, usable: trusted, reason, seconds, agreement, startSeconds, peakBytes };
    });
  },
  'models.tokens': async ({ modelId, prompts }, { catalog }) =>
    askTokenCounts((await catalog.usable(modelId)).path, prompts),
};
