import { join } from 'node:path';

/** Where the steps of a guided sample lie in a project. */
export const guidedPath = (project: string, jobId: string, index: number) =>
  join(project, 'jobs', jobId, 'guided', `${index}.json`);
