import { NorthlightError, toPlainError } from '#models/errors.ts';
import type { FromCompute, JobContext, JobFunction, JobSpec, ToCompute } from './job-protocol.ts';

/** The compute process's end of the line to the engine. */
export interface ComputePort {
  /** Resolves when the message has left this process. */
  send(message: FromCompute): Promise<void>;
  onMessage(listener: (message: ToCompute) => void): void;
  /** The engine is gone. */
  onClosed(listener: () => void): void;
  exit(code: number): void;
}

type Request = JobContext['control']['request'];

/**
 * Waits for `start`, runs that one job, says how it ended and exits. A job that returns after it was told to pause or
 * cancel has stopped, not finished. Exits at once when the engine is gone: nobody would hear the result, and the journal
 * is on disk.
 */
export function runCompute(port: ComputePort, load: (kind: JobSpec['kind']) => Promise<JobFunction>): void {
  const control: { request: Request } = { request: 'run' };
  let started = false;
  port.onClosed(() => port.exit(1));
  port.onMessage((message) => {
    if (message.t === 'start') {
      if (started) return;
      started = true;
      void runJob(port, message.spec, control, load).then((code) => port.exit(code));
    } else if (control.request !== 'cancel') {
      control.request = message.t;
    }
  });
}

async function runJob(
  port: ComputePort,
  spec: JobSpec,
  control: { readonly request: Request },
  load: (kind: JobSpec['kind']) => Promise<JobFunction>,
): Promise<number> {
  try {
    const job = await load(spec.kind);
    const result = await job(spec.payload, {
      jobId: spec.jobId,
      project: spec.project,
      threads: spec.threads,
      control,
      progress: (stage, done, total) => void port.send({ t: 'progress', stage, done, total }),
      event: (topic, data) => void port.send({ t: 'event', topic, data }),
    });
    const { request } = control;
    if (request === 'pause' || request === 'cancel') {
      await port.send({ t: 'stopped', reason: request === 'pause' ? 'paused' : 'cancelled' });
    } else {
      await port.send({ t: 'done', result });
    }
    return 0;
  } catch (error) {
    if (!(error instanceof NorthlightError)) console.error(error);
    await port.send({ t: 'failed', error: toPlainError(error) });
    return 0;
  }
}
