import type { JobContext } from '#pipelines/engine/job-protocol.ts';

/** Thrown between steps when the job was told to stop; what is finished is on disk. */
export class JobStopped extends Error {
  readonly reason: 'paused' | 'cancelled';
  constructor(reason: 'paused' | 'cancelled') {
    super(`The job was ${reason}.`);
    this.reason = reason;
  }
}

/** @throws {JobStopped} when a pause or cancel was asked for. */
export function stopIfAsked(context: JobContext): void {
  if (context.control.request === 'pause') throw new JobStopped('paused');
  if (context.control.request === 'cancel') throw new JobStopped('cancelled');
}
