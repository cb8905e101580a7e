import { NorthlightError } from '#models/errors.ts';
import { comparisonResult } from '#pipelines/engine/blind.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import type { ComparePayload } from '#pipelines/engine/jobs/payloads.ts';
import { adapterPath, findAdapter, findSession, viewSession } from '#pipelines/engine/views.ts';
import { newId } from '#pipelines/store/ids.ts';
import type { Project } from '#pipelines/store/project.ts';
import { sessions } from '#pipelines/store/sessions.ts';

export const compare: Handlers<'compare'> = {
  'compare.start': async ({ modelId, adapterA, adapterB, prompts, perPrompt, ...input }, context) => {
    const { project, queue, emit } = context;
    if (adapterA === adapterB) {
      throw new NorthlightError('compare/same', 'Both sides are the same.', 'Choose another adapter for one of them.');
    }
    const model = await context.catalog.usable(modelId);
    const payload: ComparePayload = {
      ...input,
      modelPath: model.path,
      adapterAPath: adapterPath(project, adapterA, modelId),
      adapterBPath: adapterPath(project, adapterB, modelId),
      prompts,
      perPrompt,
      negativePrompt: '',
      scheduler: 'ddim',
    };
    const planned = prompts.length * perPrompt;
    const [jobId, sessionId] = [newId('job'), newId('session')];
    const name = `${labelOf(project, adapterA)} / ${labelOf(project, adapterB)}`;
    project.db.tx(() => {
      sessions.add(project.db, {
        id: sessionId,
        kind: 'blind',
        mode: 'pair',
        name,
        modelId,
        adapterA,
        adapterB,
        seed: input.seed,
        planned,
      });
      queue.add({
        id: jobId,
        kind: 'compare',
        title: `Compare ${name}`,
        total: 2 * planned,
        payload,
        origin: { modelId, adapterId: null, adapterA, adapterB },
        runId: null,
        sessionId,
      });
    });
    queue.start();
    const session = viewSession(findSession(project, sessionId));
    emit('session', session);
    return { job: queue.get(jobId), session };
  },

  'compare.result': ({ id }, { project }) => {
    const session = findSession(project, id);
    if (session.kind !== 'blind') {
      throw new NorthlightError('compare/not-blind', `"${session.name}" is a ranking, not a comparison.`);
    }
    const labels = { a: labelOf(project, session.adapterA), b: labelOf(project, session.adapterB) };
    return comparisonResult(project.db, session, labels);
  },
};

function labelOf(project: Project, adapterId: string | null): string {
  return adapterId === null ? 'Base model' : findAdapter(project, adapterId).name;
}
