import { join } from 'node:path';
import type { Handlers } from '#pipelines/engine/context.ts';
import type { VerifyPayload } from '#pipelines/engine/jobs/payloads.ts';
import { findAdapter, viewAdapter } from '#pipelines/engine/views.ts';
import { adapters as table } from '#pipelines/store/adapters.ts';
import { newId } from '#pipelines/store/ids.ts';

export const adapters: Handlers<'adapters'> = {
  'adapters.list': (_input, { project }) => table.all(project.db).map((row) => viewAdapter(project, row)),
  'adapters.rename': ({ id, name }, { project }) => {
    findAdapter(project, id);
    table.rename(project.db, id, name);
    return viewAdapter(project, findAdapter(project, id));
  },
  'adapters.verify': async ({ id }, { project, catalog, queue }) => {
    const found = findAdapter(project, id);
    const model = await catalog.usable(found.modelId);
    const payload: VerifyPayload = { modelPath: model.path, adapterPath: join(project.directory, found.path) };
    const job = queue.add({
      id: newId('job'),
      kind: 'verify',
      title: `Verify “${found.name}”`,
      total: 1,
      payload,
      origin: { modelId: found.modelId, adapterId: id, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(job.id);
  },
};
