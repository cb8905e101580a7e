import { freemem } from 'node:os';
import { NorthlightError } from '#models/errors.ts';
import { isExternal } from '#models/onnx/ir.ts';
import { type PlannedSession, trainingSessionOptions } from '#models/runtime/training-options.ts';
import { isHalf } from '#models/tensor/half.ts';
import { numel } from '#models/tensor/tensor.ts';
import { type Estimate, estimateRun, type MachineRates } from './estimate.ts';
import type { LossGraph, MemoryMode } from './training-graph.ts';

/** How an update is computed. */
export interface TrainingForm {
  readonly memory: MemoryMode;
  /** Runs of the graph per update, each on an equal share of its items; their gradients are averaged. */
  readonly parts: number;
}

export interface TrainingPlan {
  readonly graph: LossGraph;
  readonly form: TrainingForm;
  /** Of one run of the graph. */
  readonly estimate: Estimate;
  /** Peak memory of the process that runs it. */
  readonly peakBytes: number;
  readonly budgetBytes: number;
  readonly session: PlannedSession;
}

const FLAT: MemoryMode = { kind: 'flat' };
/** Every activation is kept, and weights stored in 16 bits are widened again in the backward pass. */
const NARROW: MemoryMode = { kind: 'checkpoint', segments: 16, keepAbove: -1 };
/** From fastest to smallest; fewer segments compute less again. */
const CHECKPOINTS: readonly MemoryMode[] = [
  ...[2, 4, 8, 16].map((segments) => ({ kind: 'checkpoint', segments }) as const),
  { kind: 'checkpoint', segments: 16, keepAbove: Number.POSITIVE_INFINITY },
];

/** A process with the runtime loaded, before any model; what it and the runtime hold of each node of a graph. */
const PROCESS_BYTES = 1.7e8;
const NODE_BYTES = 35e3;
/** Weights inside the model, and those that are fed: here and in the runtime, some of them also in its order for products. */
const INLINE_COPIES = 2.2;
/** Adam's two moments and a copy of the weights to export (an average, or what the adapter started from). */
const OPTIMISER_COPIES = 3;

/**
 * Peak memory of a process that builds and runs the graph: activations, weights once where they are mapped from their file, the
 * process. The constants were fitted to flora and to a UNet of 17 M parameters, and hold for other networks (decision 0010).
 */
export function peakBytes({ weightBytes, inlineBytes, inputBytes, activationBytes, nodes }: Estimate): number {
  const copied = INLINE_COPIES * (inlineBytes + inputBytes);
  return PROCESS_BYTES + NODE_BYTES * nodes + (weightBytes - inlineBytes) + copied + activationBytes;
}

/** What a process may take: nine tenths of the memory that is free now. */
const freeBudget = (): number => 0.9 * freemem();

export interface PlanOptions {
  readonly rates: MachineRates;
  /** What the process may take; default: nine tenths of the memory that is free now. */
  readonly budgetBytes?: number | undefined;
  /** Into how many runs an update may be cut, fewest first. Default: only one. */
  readonly parts?: readonly number[];
  /** The form that a run was started in: another one would round differently. */
  readonly form?: TrainingForm | undefined;
}

/**
 * The fastest form of a training graph that fits: in one run with every activation kept; in several; with activations
 * computed again.
 * @param build makes the graph in a form; called until one fits.
 * @throws {NorthlightError} `train/does-not-fit` when not even the smallest form does.
 */
export function planTraining(build: (form: TrainingForm) => LossGraph, options: PlanOptions): TrainingPlan {
  const budgetBytes = options.budgetBytes ?? freeBudget();
  const parts = options.parts ?? [1];
  const most = parts.at(-1)!;
  const forms = options.form
    ? [options.form]
    : [
        ...parts.flatMap((p) => [FLAT, NARROW].map((memory) => ({ memory, parts: p }))),
        ...CHECKPOINTS.map((memory) => ({ memory, parts: most })),
      ];
  let least: TrainingPlan | undefined;
  const tried = new Map<MemoryMode, TrainingPlan>();
  for (const form of forms) {
    const before = tried.get(form.memory);
    // Activations shrink with the share: no graph is built that could not fit.
    if (before && form.parts < most && shrunk(before, before.form.parts / form.parts) > budgetBytes) continue;
    if (form.memory === NARROW && least && !hasHalfWeights(least.graph)) continue;
    const plan = planOf(build(form), form, options.rates, budgetBytes);
    if (plan.peakBytes <= budgetBytes) return plan;
    tried.set(form.memory, plan);
    if (!least || plan.peakBytes < least.peakBytes) least = plan;
    // Weights alone are too much: no form helps.
    if (PROCESS_BYTES + plan.estimate.weightBytes > budgetBytes) break;
  }
  throw doesNotFit(least!, options.form !== undefined);
}

const shrunk = ({ estimate }: TrainingPlan, share: number): number =>
  peakBytes({ ...estimate, activationBytes: estimate.activationBytes * share });

function planOf(graph: LossGraph, form: TrainingForm, rates: MachineRates, budgetBytes: number): TrainingPlan {
  const estimate = estimateRun(graph.model, graph.types, rates);
  const state = graph.parameters.reduce((sum, name) => sum + 4 * numel(graph.types.get(name)?.dims ?? []), 0);
  const peak = peakBytes(estimate) + OPTIMISER_COPIES * state;
  const session = trainingSessionOptions(
    {
      weightBytes: estimate.weightBytes,
      peakBytes: peak,
      scoped: form.memory.kind === 'checkpoint',
      halfWeights: hasHalfWeights(graph),
    },
    budgetBytes,
  );
  return { graph, form, estimate, peakBytes: peak, budgetBytes, session };
}

/** Whether large weights are stored in 16 bits. */
const hasHalfWeights = ({ model }: LossGraph): boolean =>
  [...model.graph.initializers.values()].some((t) => isHalf(t.dtype) && (isExternal(t) || t.data.length > 4096));

function doesNotFit({ peakBytes: peak, estimate, budgetBytes }: TrainingPlan, fixedForm: boolean): NorthlightError {
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const { weightBytes } = estimate;
  const how = fixedForm ? 'in the form this run was started in' : 'even with activation checkpointing';
  const options = fixedForm
    ? 'Close other programs and resume, or start a new run: it is planned for the memory that is free then.'
    : PROCESS_BYTES + weightBytes > budgetBytes
      ? 'The weights alone do not fit: close other programs, use the float16 version of the model, or another machine.'
      : 'Use a smaller batch with more accumulation, smaller pictures, or the float16 version of the model; or close other programs.';
  return new NorthlightError(
    'train/does-not-fit',
    `One training step needs about ${gb(peak)} of memory (${gb(weightBytes)} of it weights) ${how}, but ${gb(budgetBytes)} may be used.`,
    options,
  );
}
