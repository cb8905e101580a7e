import { expect, test } from 'vitest';
import { jobsStatus, watchJobs } from '#electron/watch-jobs.ts';
import type { Job } from '#pipelines/engine/contract.ts';

const job = (id: string, state: Job['state'], done = 0, total = 10): Job => ({
  id,
  kind: 'generate',
  title: '',
  state,
  stage: '',
  done,
  total,
  etaSeconds: null,
  createdAt: '',
  crashes: 0,
  error: null,
  modelId: 'model-1',
  makes: 'pictures',
  runId: null,
  sessionId: null,
});

test('progress is the mean over running jobs; waiting ones do not count', () => {
  expect(jobsStatus([job('a', 'running', 5), job('b', 'running', 0, 0), job('c', 'queued', 10)])).toEqual({
    running: 2,
    fraction: 0.25,
  });
  expect(jobsStatus([job('c', 'paused', 5)])).toEqual({ running: 0, fraction: null });
});

test('start and end are reported at once, progress twice a second at most, idle never', () => {
  let time = 0;
  const reports: (number | null)[][] = [];
  const watch = watchJobs(
    (status) => reports.push([status.running, status.fraction]),
    () => time,
  );
  watch(job('z', 'queued'));
  for (let done = 0; done <= 10; done++) {
    watch(job('a', 'running', done));
    time += 100;
  }
  watch(job('a', 'done', 10));
  watch(job('a', 'done', 10));
  expect(reports).toEqual([
    [1, 0],
    [1, 0.5],
    [1, 1],
    [0, null],
  ]);
});
