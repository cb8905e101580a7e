import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { type AdapterRow, adapters } from '#pipelines/store/adapters.ts';
import type { Project } from '#pipelines/store/project.ts';
import { type RunRow, runs } from '#pipelines/store/runs.ts';
import type { SampleRow } from '#pipelines/store/samples.ts';
import type { SequenceRow } from '#pipelines/store/sequences.ts';
import { type SessionRow, sessions } from '#pipelines/store/sessions.ts';
import type { Adapter, Run, Sample, Sequence, Session, TunePlan } from './contract.ts';
import { labelled } from './reward-label.ts';

/** Rows of the store as the window sees them: paths absolute, internal columns left out. */

export function viewSample({ side: _side, hidden: _hidden, trashed: _trashed, ...sample }: SampleRow): Sample {
  return sample;
}

/** Rewards under what they are called: paths of this machine are not for files and lists. */
export function viewSequence({ scores, ...sequence }: SequenceRow): Sequence {
  return { ...sequence, scores: labelled(scores) };
}

export function viewSession(row: SessionRow): Session {
  const { seed: _seed, planned, ...rest } = row;
  return { ...rest, remaining: planned === null ? null : planned - row.votes };
}

export function viewRun(project: Project, row: RunRow): Run {
  return { ...row, directory: join(project.directory, row.directory) };
}

/** A plan as the window is told of it. */
export function viewPlan(
  plan: Omit<TunePlan, 'checkpoints'> & { readonly memory: { readonly kind: string } },
): TunePlan {
  const { peakBytes, budgetBytes, secondsPerUpdate, totalSeconds, parts } = plan;
  const checkpoints = plan.memory.kind === 'checkpoint';
  return { peakBytes, budgetBytes, secondsPerUpdate, totalSeconds, parts, checkpoints };
}

export function viewAdapter(project: Project, row: AdapterRow): Adapter {
  return { ...row, path: join(project.directory, row.path) };
}

export function findSession(project: Project, id: string): SessionRow {
  const found = sessions.get(project.db, id);
  if (found) return found;
  throw new NorthlightError('session/unknown', `There is no session ${id} in this project.`);
}

export function findRun(project: Project, id: string): RunRow {
  const found = runs.get(project.db, id);
  if (found) return found;
  throw new NorthlightError('run/unknown', `There is no run ${id} in this project.`);
}

export function findAdapter(project: Project, id: string): AdapterRow {
  const found = adapters.get(project.db, id);
  if (found) return found;
  throw new NorthlightError('adapter/unknown', `There is no adapter ${id} in this project.`);
}

/**
 * Absolute path of an adapter that is to run on `modelId`; null for null, the base model.
 * @throws NorthlightError `adapter/other-model`
 */
export function adapterPath(project: Project, id: string | null, modelId: string): string | null {
  if (id === null) return null;
  const found = findAdapter(project, id);
  if (found.modelId !== modelId) {
    throw new NorthlightError(
      'adapter/other-model',
      `The adapter "${found.name}" was made for another model.`,
      'Choose the model it was tuned on, or another adapter.',
    );
  }
  return join(project.directory, found.path);
}
