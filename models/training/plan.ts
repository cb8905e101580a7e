import { freemem } from 'node:os';
import { NorthlightError } from '#models/errors.ts';
import { type Estimate, estimateRun, type MachineRates } from './estimate.ts';
import type { LossGraph, MemoryMode } from './training-graph.ts';

export interface TrainingPlan {
  readonly graph: LossGraph;
  readonly memory: MemoryMode;
  readonly estimate: Estimate;
  /** Peak memory of the process that runs it. */
  readonly peakBytes: number;
}

/** From fastest to smallest; fewer segments compute less again. */
const MODES: readonly MemoryMode[] = [
  { kind: 'flat' },
  ...[2, 4, 8, 16].map((segments) => ({ kind: 'checkpoint', segments }) as const),
  { kind: 'checkpoint', segments: 16, keepAbove: Number.POSITIVE_INFINITY },
];

/** A process with the runtime loaded, before any model. */
const PROCESS_BYTES = 2.5e8;
/** Buffers that the runtime keeps for later values of the same shape, and what the allocator cannot give back. */
const SLACK = 1.15;

/** Weights inside the model exist four times: here, as bytes of the model, in the runtime, and in its order for products. */
const INLINE_COPIES = 3;

/**
 * Peak memory of a process that builds and runs the graph: weights once (mapped from their file), activations, the process.
 */
export function peakBytes({ weightBytes, inlineBytes, activationBytes }: Estimate): number {
  return PROCESS_BYTES + weightBytes + INLINE_COPIES * inlineBytes + SLACK * activationBytes;
}

/**
 * The fastest form of a training graph that fits.
 * @param build makes the graph in a form; called until one fits.
 * @param budgetBytes what the process may take; default: nine tenths of the memory that is free now.
 * @throws {NorthlightError} `train/does-not-fit` when not even the smallest form does.
 */
export function planTraining(
  build: (memory: MemoryMode) => LossGraph,
  rates: MachineRates,
  budgetBytes: number = 0.9 * freemem(),
): TrainingPlan {
  let least: TrainingPlan | undefined;
  for (const memory of MODES) {
    const graph = build(memory);
    const estimate = estimateRun(graph.model, graph.types, rates);
    const plan = { graph, memory, estimate, peakBytes: peakBytes(estimate) };
    if (plan.peakBytes <= budgetBytes) return plan;
    if (!least || plan.peakBytes < least.peakBytes) least = plan;
    // Weights alone are too much: no form helps.
    if (PROCESS_BYTES + estimate.weightBytes > budgetBytes) break;
  }
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const weights = least!.estimate.weightBytes;
  const fixed = PROCESS_BYTES + weights > budgetBytes;
  throw new NorthlightError(
    'train/does-not-fit',
    `One training step needs about ${gb(least!.peakBytes)} of memory (${gb(weights)} of it weights) even with ` +
      `activation checkpointing, but ${gb(budgetBytes)} may be used.`,
    fixed
      ? 'The weights alone do not fit: close other programs, use the float16 version of the model, or another machine.'
      : 'Use a smaller batch with more accumulation, smaller pictures, or the float16 version of the model; or close other programs.',
  );
}
