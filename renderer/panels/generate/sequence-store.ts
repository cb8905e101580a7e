import { create } from 'zustand';
import type { Input, Model, Sequence } from '#pipelines/engine/contract.ts';
import { MAX_SEED, numberProblem, onlyProblems, wholeProblem } from '#renderer/logic/problems.ts';
import { randomSeed } from '#renderer/logic/prompts.ts';
import type { RowOrder } from '#renderer/logic/sequence-rows.ts';
import { type Steering, steeringFrom } from '#renderer/logic/steering.ts';
import { engine } from '#renderer/state/engine.ts';
import { recallObject, remember } from '#renderer/state/memory.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

type Writing = NonNullable<Model['sequence']>;

export interface SequenceForm {
  className: string | null;
  count: number | null;
  /** Null: any length that the model knows. */
  length: number | null;
  /** Null: as the model's own configuration says. */
  steps: number | null;
  scheduler: Writing['defaults']['scheduler'] | null;
  eta: number | null;
  guidanceScale: number | null;
  seed: number | null;
  steering: Steering;
}

interface SequenceState {
  form: SequenceForm;
  /** The model that the form is set for. */
  modelId: string | null;
  /** One job's sequences, or all of the project. */
  showing: { readonly jobId: string } | 'all' | null;
  rows: readonly Sequence[] | null;
  order: RowOrder;
  search: string;
  /** `seq` of the row in hand. */
  current: number | null;
  selected: ReadonlySet<number>;
  error: EngineError | null;
}

const fresh: SequenceForm = {
  ...{ className: null, count: 64, length: null, steps: null, scheduler: null, eta: null, guidanceScale: 1 },
  ...{ seed: 1, steering: null },
};

const saved: Partial<SequenceForm> = recallObject('sequences');

export const useSequences = create<SequenceState>(() => ({
  form: { ...fresh, seed: randomSeed(), ...saved, steering: steeringFrom(saved.steering) },
  ...{ modelId: null, showing: null, rows: null, search: '', current: null, error: null },
  order: { by: 'index', down: false },
  selected: new Set<number>(),
}));

export function edit(change: Partial<SequenceForm>): void {
  useSequences.setState(({ form }) => ({ form: { ...form, ...change } }));
  remember('sequences', JSON.stringify(useSequences.getState().form));
}

/** What does not belong to a model goes back to what the model says. */
export function followModel(model: Model): void {
  const { modelId, form } = useSequences.getState();
  if (modelId === model.id || model.sequence === null) return;
  const { classes, needsClass, guided, shortest, longest, samplers } = model.sequence;
  const known = form.className !== null && classes.includes(form.className);
  const fits = form.length !== null && form.length >= shortest && form.length <= longest;
  useSequences.setState({
    modelId: model.id,
    form: {
      ...form,
      className: known ? form.className : needsClass ? (classes[0] ?? null) : null,
      length: fits ? form.length : null,
      scheduler: form.scheduler !== null && samplers.includes(form.scheduler) ? form.scheduler : null,
      guidanceScale: guided ? form.guidanceScale : 1,
    },
  });
}

/** What is wrong with the form, by field; empty when it can start. */
export function formProblems(form: SequenceForm, model: Writing): Partial<Record<keyof SequenceForm, string>> {
  /** What is left empty is as the model says. */
  const optional = (key: 'steps' | 'length', min: number, max: number) =>
    form[key] === null ? undefined : wholeProblem(form[key], min, max);
  return onlyProblems<keyof SequenceForm>({
    count: wholeProblem(form.count, 1, 20_000),
    steps: optional('steps', 1, 100_000),
    seed: wholeProblem(form.seed, 0, MAX_SEED),
    length: optional('length', model.shortest, model.longest),
    guidanceScale: numberProblem(form.guidanceScale, 0, 30),
    eta: form.eta === null ? undefined : numberProblem(form.eta, 0, 1),
  });
}

/** The call that the form stands for, or null while something in it is missing or wrong. */
export function sequencesInput(
  form: SequenceForm,
  { id, sequence }: Model,
  adapterId: string | null,
): Input<'sequences.start'> | null {
  const { count, seed, guidanceScale } = form;
  if (sequence === null || Object.keys(formProblems(form, sequence)).length > 0) return null;
  if (count === null || seed === null || guidanceScale === null) return null;
  const { className, length, steps, scheduler, steering } = form;
  return {
    ...{ modelId: id, adapterId, className, count, length, steps, scheduler, seed, guidanceScale },
    eta: form.eta ?? sequence.defaults.eta,
    steering,
  };
}

const PAGE = 5000;

/** Shows one job's sequences, or all of them. */
export async function show(showing: { readonly jobId: string } | 'all'): Promise<void> {
  useSequences.setState({ showing, rows: null, current: null, selected: new Set(), error: null });
  await reload();
}

/** Reads what is shown again; used after a reconnection and when a job ends, because events may have been missed. */
export async function reload(): Promise<void> {
  const { showing } = useSequences.getState();
  if (showing === null) return;
  const rows: Sequence[] = [];
  try {
    for (;;) {
      const after = rows.at(-1)?.seq ?? 0;
      const of = showing === 'all' ? {} : { jobId: showing.jobId };
      const page = await engine.call('sequences.list', { ...of, limit: PAGE, after });
      rows.push(...page.sequences);
      // The person may have moved on while it was read.
      if (useSequences.getState().showing !== showing) return;
      if (page.sequences.length < PAGE) break;
    }
    useSequences.setState({ rows, error: null });
  } catch (error) {
    useSequences.setState({ error: toEngineError(error) });
  }
}

/** Another column, or the same the other way; rewards begin with the highest. */
export function orderBy(by: string): void {
  useSequences.setState(({ order }) => ({
    order: order.by === by ? { by, down: !order.down } : { by, down: by !== 'index' },
  }));
}

export function toggle(seq: number): void {
  useSequences.setState(({ selected }) => {
    const next = new Set(selected);
    if (!next.delete(seq)) next.add(seq);
    return { selected: next };
  });
}

engine.on('sequences', ({ jobId, sequences }) => {
  const { showing, rows } = useSequences.getState();
  if (showing === null || (showing !== 'all' && showing.jobId !== jobId)) return;
  const known = new Set(rows?.map(({ seq }) => seq));
  useSequences.setState({ rows: [...(rows ?? []), ...sequences.filter(({ seq }) => !known.has(seq))] });
});

engine.on('sequencesScored', ({ reward, values }) => {
  const found = new Map(values);
  useSequences.setState(({ rows }) => ({
    rows:
      rows?.map((row) => {
        const value = found.get(row.seq);
        return value === undefined ? row : { ...row, scores: { ...row.scores, [reward]: value } };
      }) ?? null,
  }));
});

engine.on('job', (job) => {
  if (job.makes !== 'sequences' || job.state === 'running' || job.state === 'queued') return;
  const { showing } = useSequences.getState();
  if (showing === 'all' || showing?.jobId === job.id) void reload();
});
