import { join } from 'node:path';
import type { Handlers } from '#pipelines/engine/context.ts';
import { findRun, viewPlan, viewRun } from '#pipelines/engine/views.ts';
import { readMetrics } from '#pipelines/runs/metrics-log.ts';
import { readRunPlan } from '#pipelines/runs/run-plan.ts';
import { strips, runs as table } from '#pipelines/store/runs.ts';

export const runs: Handlers<'runs'> = {
  'runs.list': (_input, { project }) => table.all(project.db).map((row) => viewRun(project, row)),
  'runs.show': ({ id }, { project }) => {
    const row = findRun(project, id);
    const plan = readRunPlan(join(project.directory, row.directory));
    return {
      run: viewRun(project, row),
      plan: plan && viewPlan(plan),
      metrics: readMetrics(join(project.directory, row.directory)),
      strip: strips.ofRun(project.db, id),
    };
  },
};
