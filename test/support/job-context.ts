import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { JobContext } from '#pipelines/engine/job-protocol.ts';

export interface RecordedContext extends JobContext {
  readonly control: { request: JobContext['control']['request'] };
  readonly events: { topic: string; data: unknown }[];
  readonly stages: string[];
}

/** A job's talk, recorded. `onEvent` may ask the job to stop. The project's folders exist, as the engine makes them. */
export function recordedContext(
  project: string,
  jobId: string,
  onEvent: (context: RecordedContext, topic: string) => void = () => {},
): RecordedContext {
  for (const folder of ['samples', 'trajectories', 'runs']) mkdirSync(join(project, folder), { recursive: true });
  const context: RecordedContext = {
    jobId,
    project,
    // One: tests run beside each other, and two threads wait for one another on a busy machine.
    threads: 1,
    control: { request: 'run' },
    events: [],
    stages: [],
    progress: (stage) => void context.stages.push(stage),
    event: (topic, data) => {
      context.events.push({ topic, data });
      onEvent(context, topic);
    },
  };
  return context;
}
