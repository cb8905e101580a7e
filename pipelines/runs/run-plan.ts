import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '#models/files.ts';
import type { PlannedSession } from '#models/runtime/training-options.ts';
import type { MachineRates } from '#models/training/estimate.ts';
import { planTraining, type TrainingForm, type TrainingPlan } from '#models/training/plan.ts';
import type { LossGraph, MemoryMode } from '#models/training/training-graph.ts';

const memoryMode = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('flat') }),
  z.object({
    kind: z.literal('checkpoint'),
    segments: z.int(),
    /** null: nothing is kept, which JSON has no number for. */
    keepAbove: z.number().nullable().optional(),
  }),
]);

/** What a run was planned as: `plan.json` in its directory. */
const runPlan = z.object({
  memory: memoryMode,
  parts: z.int(),
  prepack: z.boolean(),
  foldConstants: z.boolean(),
  optimization: z.enum(['disabled', 'basic', 'extended', 'all']),
  /** Estimated peak memory of the process, what it might have taken, and seconds per update and in all. */
  peakBytes: z.number(),
  budgetBytes: z.number(),
  secondsPerUpdate: z.number(),
  totalSeconds: z.number(),
});
export type RunPlan = z.infer<typeof runPlan>;

const fileOf = (runDirectory: string) => join(runDirectory, 'plan.json');

/** What a run was planned as, or null before it was planned. */
export function readRunPlan(runDirectory: string): RunPlan | null {
  const file = fileOf(runDirectory);
  return existsSync(file) ? runPlan.parse(JSON.parse(readFileSync(file, 'utf8'))) : null;
}

/**
 * The plan of a run's updates: made from the memory that is free when the run starts, and the same again when it goes on,
 * because another form would round differently and the run would no longer be the same.
 * @param seconds of the whole run, given those of one update.
 * @throws {NorthlightError} `train/does-not-fit`
 */
export function planRun(
  runDirectory: string,
  build: (form: TrainingForm) => LossGraph,
  options: {
    readonly rates: MachineRates;
    readonly budgetBytes?: number | undefined;
    readonly parts?: readonly number[];
    /** The run starts anew: what an earlier one in this folder was planned as does not count. */
    readonly fresh?: boolean;
    readonly seconds: (perUpdate: number) => number;
  },
): { readonly plan: TrainingPlan; readonly session: PlannedSession; readonly record: RunPlan } {
  const before = options.fresh ? null : readRunPlan(runDirectory);
  const plan = planTraining(build, { ...options, form: before ? formOf(before) : undefined });
  if (before) {
    const { optimization, prepack, foldConstants } = before;
    return { plan, session: { ...plan.session, optimization, prepack, foldConstants }, record: before };
  }
  const record = recordOf(plan, options.seconds);
  writeJsonAtomic(fileOf(runDirectory), record);
  return { plan, session: plan.session, record };
}

/** A plan as it is told and kept. */
export function recordOf(plan: TrainingPlan, seconds: (perUpdate: number) => number): RunPlan {
  const { form, session, estimate } = plan;
  const secondsPerUpdate = form.parts * estimate.seconds;
  return {
    memory: memoryRecord(form.memory),
    parts: form.parts,
    prepack: session.prepack,
    foldConstants: session.foldConstants,
    optimization: session.optimization,
    peakBytes: plan.peakBytes,
    budgetBytes: plan.budgetBytes,
    secondsPerUpdate,
    totalSeconds: seconds(secondsPerUpdate),
  };
}

function memoryRecord(memory: MemoryMode): RunPlan['memory'] {
  if (memory.kind === 'flat' || memory.keepAbove === undefined) return memory;
  return { ...memory, keepAbove: Number.isFinite(memory.keepAbove) ? memory.keepAbove : null };
}

function formOf({ memory: kept, parts }: RunPlan): TrainingForm {
  if (kept.kind === 'flat') return { memory: kept, parts };
  const { keepAbove, ...rest } = kept;
  const memory = keepAbove === undefined ? rest : { ...rest, keepAbove: keepAbove ?? Number.POSITIVE_INFINITY };
  return { memory, parts };
}
