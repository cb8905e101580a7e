import { join } from 'node:path';
import type { Handlers } from '#pipelines/engine/context.ts';
import { findRun, viewRun } from '#pipelines/engine/views.ts';
import { readMetrics } from '#pipelines/runs/metrics-log.ts';
import { strips, runs as table } from '#pipelines/store/runs.ts';

export const runs: Handlers<'runs'> = {
  'runs.list': (_input, { project }) => table.all(project.db).map((row) => viewRun(project, row)),
  'runs.show': ({ id }, { project }) => {
    const row = findRun(project, id);
    return {
      run: viewRun(project, row),
      metrics: readMetrics(join(project.directory, row.directory)),
      strip: strips.ofRun(project.db, id),
    };
  },
};
