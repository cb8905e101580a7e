import { NorthlightError } from '#models/errors.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import { viewSample } from '#pipelines/engine/views.ts';
import { samples as table } from '#pipelines/store/samples.ts';

export const samples: Handlers<'samples'> = {
  'samples.list': (filter, { project }) => {
    const found = table.list(project.db, filter);
    return { samples: found.samples.map(viewSample), total: found.total };
  },
  'samples.star': ({ id, starred }, { project, emit }) => {
    const found = table.get(project.db, id);
    if (!found || found.hidden) {
      throw new NorthlightError(
        'sample/unknown',
        `There is no picture ${id} in the lists of this project.`,
        'Pictures of a blind comparison appear once all its questions are answered.',
      );
    }
    table.star(project.db, id, starred);
    const sample = viewSample({ ...found, starred });
    emit('sample', { jobId: sample.jobId, sample });
    return sample;
  },
};
