import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { EventName, EventPayload, Job } from '#pipelines/engine/contract.ts';
import type { Engine } from '#pipelines/engine/engine.ts';
import type { QueueTimes } from '#pipelines/engine/job-queue.ts';
import type { ComputeHandle } from '#pipelines/engine/process-host.ts';
import type { WarmTimes } from '#pipelines/engine/warm-host.ts';
import { openProject, type Project } from '#pipelines/store/project.ts';
import { bundledFolder, engineOn, TINY } from './engine-parts.ts';

export { bundledFolder, TINY };

/** A folder that is gone when the test is. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

export interface TestEngine {
  readonly engine: Engine;
  readonly project: Project;
  readonly bundled: string;
  readonly directory: string;
  /** The process of every job so far, in order; a process that did two jobs is there twice. */
  readonly handles: ComputeHandle[];
  readonly seen: { name: EventName; payload: unknown }[];
  job(id: string): Promise<Job>;
  /** Resolves when the job is in one of these states. */
  reaches(id: string, ...states: Job['state'][]): Promise<Job>;
  /** Resolves at the first event (from now on) for which `test` holds. */
  event<N extends EventName>(name: N, test?: (payload: EventPayload<N>) => boolean): Promise<EventPayload<N>>;
  close(): Promise<void>;
}

/** An engine on a new project (or `directory`), closed when the test ends. */
export function testEngine(
  directory = join(temporaryFolder(), 'project'),
  times: Partial<QueueTimes & WarmTimes> = {},
): TestEngine {
  const bundled = bundledFolder(temporaryFolder());
  const project = openProject(directory);
  const { engine, handles } = engineOn(project, bundled, times);
  const seen: TestEngine['seen'] = [];
  engine.subscribe((name, payload) => {
    seen.push({ name, payload });
  });
  const job = async (id: string): Promise<Job> => {
    const found = (await engine.call('jobs.list', {})).find((candidate) => candidate.id === id);
    if (!found) throw new Error(`no job ${id}`);
    return found;
  };
  const event: TestEngine['event'] = (name, test = () => true) =>
    new Promise((resolve) => {
      const stop = engine.subscribe((got, payload) => {
        if (got !== (name as EventName) || !test(payload as never)) return;
        stop();
        resolve(payload as never);
      });
    });
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= engine.close().then(() => project.close());
    return closing;
  };
  onTestFinished(close);
  return {
    engine,
    project,
    bundled,
    directory,
    handles,
    seen,
    job,
    event,
    close,
    reaches: async (id, ...states) => {
      const later = event('job', (payload) => payload.id === id && states.includes(payload.state));
      const now = await job(id);
      return states.includes(now.state) ? now : later;
    },
  };
}

/** Generates `count` pictures of each prompt and waits for them. Returns the job's id. */
export async function generated(test: TestEngine, prompts: string[], count: number): Promise<string> {
  const job = await test.engine.call('generate.start', { modelId: TINY, prompts, count, seed: 1 });
  await test.reaches(job.id, 'done');
  return job.id;
}
