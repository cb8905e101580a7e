import type { PlannedSession } from '#models/runtime/training-options.ts';
import { machineRates } from '#models/training/machine-rates.ts';
import type { LossGraph, MemoryMode } from '#models/training/training-graph.ts';
import { planRun } from '#pipelines/runs/run-plan.ts';
import type { RecipeOptions } from './types.ts';

/**
 * The training graph of a recipe in the fastest form that the free memory holds.
 * @throws {NorthlightError} `train/does-not-fit`
 */
export async function planRecipe(
  work: string,
  options: Pick<RecipeOptions<unknown>, 'threads' | 'resume'>,
  steps: number,
  build: (memory: MemoryMode) => LossGraph,
): Promise<{ readonly graph: LossGraph; readonly session: PlannedSession }> {
  const rates = await machineRates(options.threads);
  const { plan, session } = planRun(work, ({ memory }) => build(memory), {
    rates,
    fresh: !options.resume,
    seconds: (update) => steps * update,
  });
  return { graph: plan.graph, session };
}
