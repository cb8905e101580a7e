import { join } from 'node:path';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { restoreState, stateTensors, type TrainerOptions, trainSteps } from '#models/training/trainer.ts';
import { readCheckpoint, writeCheckpoint } from '#pipelines/runs/checkpoint.ts';
import { openMetricsLog } from '#pipelines/runs/metrics-log.ts';
import type { RecipeIo } from './types.ts';

const STATE = 'state.safetensors';
/** Weight of the newest loss in the running mean that is shown. */
const NEWEST = 0.01;

export interface TrainRun extends Omit<TrainerOptions, 'onStep'> {
  /** Folder of the checkpoints and metrics. */
  readonly work: string;
  /** Go on from the last checkpoint. */
  readonly resume: boolean;
  /** Updates between checkpoints; one is also written at the end and when the run is stopped. */
  readonly checkpointEvery: number;
}

/**
 * Updates `run.state` until `run.steps` or until stopped, with checkpoints and metrics; progress goes to `io`.
 * @returns the running mean of the loss; NaN when there was nothing left to do.
 */
export async function trainRun({ work, resume, checkpointEvery, ...run }: TrainRun, io: RecipeIo): Promise<number> {
  const { state } = run;
  const checkpoint = resume ? readCheckpoint(work) : null;
  if (checkpoint) restoreState(state, readSafetensors(join(checkpoint.folder, STATE)).tensors, checkpoint.step);
  const log = openMetricsLog(work, state.step + 1);
  io.whenStopped(`The run is kept in ${work}; go on with --resume.`);
  let mean = Number.NaN;
  try {
    await trainSteps({
      ...run,
      onStep: ({ step, loss, gradientNorm, learningRate }) => {
        mean = Number.isNaN(mean) ? loss : (1 - NEWEST) * mean + NEWEST * loss;
        log.append({ step, values: { loss, gradientNorm, learningRate } });
        io.progress(`training, loss ${mean.toFixed(4)}`, step, run.steps);
        if (step % checkpointEvery === 0 || step === run.steps || io.signal.aborted) {
          writeCheckpoint(work, step, (folder) => writeSafetensors(join(folder, STATE), stateTensors(state)));
        }
        return !io.signal.aborted;
      },
    });
  } finally {
    log.close();
  }
  return mean;
}
