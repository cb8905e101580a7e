import { NorthlightError } from '#models/errors.ts';
import type { JobSpec } from './job-protocol.ts';
import type { ComputeHandle } from './process-host.ts';
import type { WarmHost } from './warm-host.ts';

/** Asks a compute process something small, beside the queue. */
export type AskCompute = (kind: JobSpec['kind'], payload: unknown) => Promise<unknown>;

/**
 * One question at a time: a new one ends the one before, which is then refused as `ask/superseded`.
 * @throws {NorthlightError} of the job; `ask/ended` when its process ends without an answer.
 */
export function createAskCompute(
  host: Pick<WarmHost, 'fork'>,
  project: string,
  threads: number | undefined,
): AskCompute {
  let current: ComputeHandle | null = null;
  let asked = 0;
  return (kind, payload) => {
    current?.kill();
    const number = ++asked;
    const spec: JobSpec = { jobId: `ask-${number}`, kind, project, payload, threads };
    const handle = host.fork(spec);
    current = handle;
    return new Promise((resolve, reject) => {
      handle.onMessage((message) => {
        if (message.t === 'done') resolve(message.result);
        if (message.t === 'failed') {
          reject(new NorthlightError(message.error.code, message.error.message, message.error.hint));
        }
      });
      handle.onExit((detail) => {
        if (current === handle) current = null;
        reject(
          number === asked
            ? new NorthlightError('ask/ended', `The process that was asked ended without an answer (${detail}).`)
            : new NorthlightError('ask/superseded', 'A newer question was asked.'),
        );
      });
      handle.send({ t: 'start', spec });
    });
  };
}
