import { NorthlightError } from '#models/errors.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import { tokenCounts } from '#pipelines/engine/token-counts.ts';
import { jobs } from '#pipelines/store/jobs.ts';

export const models: Handlers<'models'> = {
  'models.list': (_input, { catalog }) => catalog.list(),
  'models.add': ({ path }, { catalog }) => catalog.add(path),
  'models.report': ({ id }, { catalog }) => catalog.report(id),
  'models.remove': ({ id }, { catalog, project }) => {
    if (jobs.unfinishedOf(project.db, id) > 0) {
      throw new NorthlightError('models/in-use', 'A job that waits or runs uses this model.', 'Cancel that job first.');
    }
    catalog.remove(id);
    return {};
  },
  'models.tokens': async ({ modelId, prompts }, { catalog }) =>
    tokenCounts((await catalog.usable(modelId)).path, prompts),
};
