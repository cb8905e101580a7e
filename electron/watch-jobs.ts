import type { Job } from '#pipelines/engine/contract.ts';

/** How many jobs run, and which part of their work is done (0…1; null when none run). */
export interface JobsStatus {
  readonly running: number;
  readonly fraction: number | null;
}

const REPORT_MS = 500;

/** Progress over all running jobs, each counting equally. */
export function jobsStatus(jobs: Iterable<Job>): JobsStatus {
  const running = [...jobs].filter((job) => job.state === 'running');
  if (running.length === 0) return { running: 0, fraction: null };
  const parts = running.map((job) => (job.total > 0 ? Math.min(1, job.done / job.total) : 0));
  return { running: running.length, fraction: parts.reduce((a, b) => a + b, 0) / parts.length };
}

/**
 * Takes every `job` event and reports what runs: for the power-save block, the task bar, and the question before quitting.
 * Start and end of a job are reported at once, progress at most twice a second.
 */
export function watchJobs(report: (status: JobsStatus) => void, now: () => number = Date.now): (job: Job) => void {
  const jobs = new Map<string, Job>();
  let last = { running: 0, at: Number.NEGATIVE_INFINITY };
  return (job) => {
    if (job.state === 'running') jobs.set(job.id, job);
    else jobs.delete(job.id);
    const status = jobsStatus(jobs.values());
    if (status.running === last.running && (status.running === 0 || now() - last.at < REPORT_MS)) return;
    last = { running: status.running, at: now() };
    report(status);
  };
}
