import type { Handlers } from '#pipelines/engine/context.ts';

export const jobs: Handlers<'jobs'> = {
  'jobs.list': (_input, { queue }) => queue.list(),
  'jobs.cancel': ({ id, hard }, { queue }) => queue.cancel(id, hard),
  'jobs.pause': ({ id }, { queue }) => queue.pause(id),
  'jobs.resume': ({ id }, { queue }) => queue.resume(id),
  'jobs.stopAndKeep': ({ id }, { queue }) => queue.stopAndKeep(id),
};
