import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import {
  createTrainerState,
  restoreState,
  stateTensors,
  type TrainerOptions,
  type TrainerState,
  trainSteps,
  trapezoid,
} from '#models/training/trainer.ts';
import type { LossGraph, MemoryMode } from '#models/training/training-graph.ts';
import { readCheckpoint, writeCheckpoint } from '#pipelines/runs/checkpoint.ts';
import { openMetricsLog } from '#pipelines/runs/metrics-log.ts';
import { planRecipe } from './plan-recipe.ts';
import type { RecipeIo, RecipeOptions } from './types.ts';

const STATE = 'state.safetensors';
/** Weight of the newest loss in the running mean that is shown. */
const NEWEST = 0.01;

/** What every recipe lets one choose. */
export interface TrainSettings {
  readonly steps: number;
  readonly learningRate: number;
  readonly warmup: number;
  readonly decay: number;
  readonly emaDecay: number;
  /** Updates between checkpoints; one is also written at the end and when the run is stopped. */
  readonly checkpointEvery: number;
}

/** What a recipe trains, and on what. */
export interface Training extends Pick<TrainerOptions, 'batch' | 'maxGradientNorm'> {
  build(memory: MemoryMode): LossGraph;
  /** First weights by name: at least those of the graph. */
  readonly initial: ReadonlyMap<string, Tensor<'float32'>>;
  readonly weightDecay: number;
}

export interface Trained {
  readonly state: TrainerState;
  /** Running mean; NaN when there was nothing left to do. */
  readonly loss: number;
}

/** Folder of what a recipe keeps while it trains: drawings, checkpoints, metrics. */
export function workFolder(out: string): string {
  const work = join(out, 'training');
  mkdirSync(work, { recursive: true });
  return work;
}

/** Trains until the last update or until stopped, from the last checkpoint on; progress goes to `io`. */
export async function trainRun(
  options: RecipeOptions<TrainSettings>,
  training: Training,
  io: RecipeIo,
): Promise<Trained> {
  const { set: s, threads } = options;
  const work = workFolder(options.out);
  const { graph, session } = await planRecipe(work, options, s.steps, training.build);
  const state = createTrainerState(new Map(graph.parameters.map((name) => [name, training.initial.get(name)!])));
  const checkpoint = options.resume ? readCheckpoint(work) : null;
  if (checkpoint) restoreState(state, readSafetensors(join(checkpoint.folder, STATE)).tensors, checkpoint.step);
  const log = openMetricsLog(work, state.step + 1);
  io.whenStopped(`The run is kept in ${work}; go on with --resume.`);
  let mean = Number.NaN;
  try {
    await trainSteps({
      graph,
      session,
      state,
      steps: s.steps,
      batch: training.batch,
      learningRate: (step) => trapezoid(step, s.steps, s.learningRate, s.warmup, s.decay),
      adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: training.weightDecay },
      maxGradientNorm: training.maxGradientNorm,
      emaDecay: s.emaDecay,
      ...(threads ? { threads } : {}),
      onStep: ({ step, loss, gradientNorm, learningRate }) => {
        mean = Number.isNaN(mean) ? loss : (1 - NEWEST) * mean + NEWEST * loss;
        log.append({ step, values: { loss, gradientNorm, learningRate } });
        io.progress(`training, loss ${mean.toFixed(4)}`, step, s.steps);
        if (step % s.checkpointEvery === 0 || step === s.steps || io.signal.aborted) {
          writeCheckpoint(work, step, (folder) => writeSafetensors(join(folder, STATE), stateTensors(state)));
        }
        return !io.signal.aborted;
      },
    });
  } finally {
    log.close();
  }
  return { state, loss: mean };
}
