import { NorthlightError, toPlainError } from '#models/errors.ts';
import type { FromCompute, FromJob, JobContext, JobFunction, JobSpec, ToCompute } from './job-protocol.ts';
import type { KeptModel } from './jobs/kept-model.ts';
import type { WantedModel } from './jobs/wanted-model.ts';

/** The compute process's end of the line to the engine. */
export interface ComputePort {
  /** Resolves when the message has left this process. */
  send(message: FromCompute): Promise<void>;
  onMessage(listener: (message: ToCompute) => void): void;
  /** The engine is gone. */
  onClosed(listener: () => void): void;
  exit(code: number): void;
}

/** What a compute process can do. */
export interface ComputeWork {
  readonly jobs: Readonly<Record<JobSpec['kind'], JobFunction>>;
  /** Given to every job; with a model open in it, the process stays for the next one. Absent: one job, one process. */
  readonly models?: KeptModel;
  /** Makes the first job start sooner. That it fails means nothing: the job says what is wrong. */
  warm?(model: WantedModel | null): Promise<void>;
}

/** What one job has been told. */
interface Control {
  request: JobContext['control']['request'];
}

/**
 * Waits for `start`, runs that job and says how it ended; then it exits or, with a model open, waits for another. A job that
 * returns after it was told to pause or cancel has stopped, not finished. Every job has a control of its own and is heard until
 * its ending is sent: nothing that it says later, and nothing that it was told, reaches the next one. Exits at once when the
 * engine is gone: nobody would hear the result, and the journal is on disk.
 */
export function runCompute(port: ComputePort, load: () => Promise<ComputeWork>): void {
  let running: Control | null = null;

  const run = async (spec: JobSpec, control: Control): Promise<void> => {
    const say = (message: FromJob) => void (running === control && port.send(message));
    const ending = await endingOf(spec, control, load, say);
    running = null;
    await port.send(ending);
    const key = keepsOpen(ending) ? (await load()).models?.key : null;
    if (key) await port.send({ t: 'idle', key });
    else port.exit(0);
  };

  port.onClosed(() => port.exit(1));
  port.onMessage((message) => {
    if (message.t === 'warm') {
      void load().then(({ warm }) => warm?.(message.model).catch(() => {}));
    } else if (message.t === 'start') {
      if (running) return;
      running = { request: 'run' };
      void run(message.spec, running);
    } else if (running && running.request !== 'cancel') {
      running.request = message.t;
    }
  });
}

/** After a failure nobody knows what state the runtime is in, and a pause is there to free the machine. */
const keepsOpen = (ending: FromJob) => ending.t === 'done' || (ending.t === 'stopped' && ending.reason === 'cancelled');

async function endingOf(
  spec: JobSpec,
  control: Readonly<Control>,
  load: () => Promise<ComputeWork>,
  say: (message: FromJob) => void,
): Promise<FromJob> {
  try {
    const { jobs, models } = await load();
    const result = await jobs[spec.kind](spec.payload, {
      jobId: spec.jobId,
      project: spec.project,
      threads: spec.threads,
      control,
      models,
      progress: (stage, done, total) => say({ t: 'progress', stage, done, total }),
      event: (topic, data) => say({ t: 'event', topic, data }),
    });
    const { request } = control;
    if (request === 'pause') return { t: 'stopped', reason: 'paused' };
    if (request === 'cancel') return { t: 'stopped', reason: 'cancelled' };
    return { t: 'done', result };
  } catch (error) {
    if (!(error instanceof NorthlightError)) console.error(error);
    return { t: 'failed', error: toPlainError(error) };
  }
}
