import { create } from 'zustand';
import type { EventPayload, Input, Model, Sample, SamplerName } from '#pipelines/engine/contract.ts';
import { type Mask, marks, maskFrom, type Size } from '#renderer/logic/mask.ts';
import { MAX_SEED, numberProblem, onlyProblems, wholeProblem } from '#renderer/logic/problems.ts';
import { addPrompt, promptLines, randomSeed } from '#renderer/logic/prompts.ts';
import { type Steering, steeringFrom } from '#renderer/logic/steering.ts';
import { useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { recallObject, remember } from '#renderer/state/memory.ts';
import { choose } from '#renderer/state/navigation.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { offeredSchedulers, schedulerNamed } from './schedulers.ts';

type Preview = EventPayload<'preview'>;

/** What a person may set differently for each model. */
export interface ModelForm {
  steps: number | null;
  guidanceScale: number | null;
  scheduler: SamplerName;
  eta: number | null;
  keepTrajectories: boolean;
  /** Counted back from the layer that the model reads by itself: 1. */
  clipSkip: number | null;
  /** Null: the model's usual size. */
  width: number | null;
  height: number | null;
}

export interface GenerateForm extends ModelForm {
  prompts: string;
  negativePrompt: string;
  count: number | null;
  seed: number | null;
  shareInitialNoise: boolean;
  /** The picture to start from; null: noise alone. */
  start: { readonly hash: string; readonly prompt: string } | null;
  strength: number | null;
  /** What of it may change; null: everything. */
  mask: Mask | null;
  steering: Steering;
}

interface GenerateState {
  form: GenerateForm;
  /** The model that the form is set for. */
  modelId: string | null;
  /** What a person changed by hand, by model. */
  changes: Record<string, Partial<ModelForm>>;
  /** What the results show: one job's pictures, or every starred picture. */
  showing: { jobId: string } | 'starred' | null;
  samples: Sample[] | null;
  total: number;
  /** Pictures in the making, by `previewKey`. */
  previews: Record<string, Preview>;
  error: EngineError | null;
}

const fresh: GenerateForm = {
  prompts: '',
  negativePrompt: '',
  count: 4,
  steps: 30,
  guidanceScale: 3,
  seed: 1,
  eta: 1,
  scheduler: 'ddim',
  keepTrajectories: true,
  clipSkip: 1,
  width: null,
  height: null,
  shareInitialNoise: false,
  start: null,
  strength: 0.6,
  mask: null,
  steering: null,
};

const saved: Partial<GenerateForm> = recallObject('generate');

export const useGenerate = create<GenerateState>(() => ({
  form: { ...fresh, seed: randomSeed(), ...saved, steering: steeringFrom(saved.steering) },
  modelId: null,
  changes: recallObject('generate-models') as GenerateState['changes'],
  showing: null,
  samples: null,
  total: 0,
  previews: {},
  error: null,
}));

const OF_MODEL: readonly string[] = [
  'steps',
  'guidanceScale',
  'scheduler',
  'eta',
  'keepTrajectories',
  'clipSkip',
  'width',
  'height',
] satisfies readonly (keyof ModelForm)[];

export function edit(change: Partial<GenerateForm>): void {
  useGenerate.setState(({ form, modelId, changes }) => {
    const own = Object.fromEntries(Object.entries(change).filter(([key]) => OF_MODEL.includes(key)));
    return {
      form: { ...form, ...change },
      changes: modelId === null ? changes : { ...changes, [modelId]: { ...changes[modelId], ...own } },
    };
  });
  const { form, changes } = useGenerate.getState();
  // The next project may not have the picture to start from.
  remember('generate', JSON.stringify({ ...form, start: null, mask: null }));
  remember('generate-models', JSON.stringify(changes));
}

/** Models of so few steps are drawn as they were made: what is kept of them teaches little. */
const FEW_STEPS = 8;

/** Sets the form for a model: what suits it, and over that what a person changed by hand. */
export function followModel({ id, sampling }: Pick<Model, 'id' | 'sampling'>): void {
  const { form, modelId, changes } = useGenerate.getState();
  if (modelId === id || sampling === null) return;
  const own = {
    ...sampling.defaults,
    keepTrajectories: sampling.defaults.steps > FEW_STEPS,
    clipSkip: 1,
    width: null,
    height: null,
  };
  useGenerate.setState({ modelId: id, form: { ...form, ...own, ...changes[id] } });
}

/** As {@link followModel}, where the model is known. */
export function followModelId(id: string | null): void {
  const model = useApp.getState().models?.find((m) => m.id === id);
  if (model) followModel(model);
}

/** Fills the form with what made a picture, and takes its model and adapter in hand. */
export function takeSettings(sample: Sample): void {
  const { prompt, negativePrompt, steps, scheduler, eta, guidanceScale, clipSkip, seed, modelId, adapterId } = sample;
  followModelId(modelId);
  const model = useApp.getState().models?.find((m) => m.id === modelId);
  const usual = !model?.sampling?.freeSize || (sample.width === model.width && sample.height === model.height);
  edit({
    ...{ prompts: prompt, negativePrompt, steps, eta, guidanceScale, clipSkip, seed },
    scheduler: schedulerNamed(scheduler)?.value ?? 'ddim',
    ...{ width: usual ? null : sample.width, height: usual ? null : sample.height },
    ...startedFrom(sample.start),
  });
  choose({ modelId, adapterId });
}

/** What a picture was made from, as the form has it. */
export const startedFrom = (start: Sample['start']): Partial<GenerateForm> =>
  start === null
    ? { start: null, mask: null }
    : {
        start: { hash: start.picture, prompt: '' },
        mask: maskFrom(start.mask),
        strength: start.strength,
        steering: null,
      };

/** Takes a picture to start from, with its prompt where there is none yet. */
export function startFrom({ hash, prompt }: Pick<Sample, 'hash' | 'prompt'>): void {
  const { prompts } = useGenerate.getState().form;
  edit({
    start: { hash, prompt },
    mask: null,
    steering: null,
    ...(promptLines(prompts).length === 0 ? { prompts: prompt } : {}),
  });
}

export const insertPrompt = (prompt: string) =>
  edit({ prompts: addPrompt(useGenerate.getState().form.prompts, prompt) });

/** Why what tuning needs cannot be kept, whatever the switch says; null: it can. */
export function keepsNothing({ start, mask, steering }: GenerateForm): 'steered' | 'masked' | null {
  if (steering !== null) return 'steered';
  return start !== null && marks(mask) ? 'masked' : null;
}

const keeps = (form: GenerateForm): boolean => form.keepTrajectories && keepsNothing(form) === null;

const needsOf = (form: GenerateForm) => ({ keepTrajectories: keeps(form), steered: form.steering !== null });

/** Pixels of the pictures to make. */
export const madeSize = (form: GenerateForm, { width, height, sampling }: Model): Size =>
  sampling?.freeSize ? { width: form.width ?? width, height: form.height ?? height } : { width, height };

/** Samplers to choose from, and the one that is used: the chosen one where it can do what is asked. */
export function schedulersOf(form: GenerateForm, sampling?: Model['sampling']) {
  const offered = offeredSchedulers(sampling, needsOf(form));
  return { offered, used: offered.find((s) => s.value === form.scheduler) ?? offered[0] };
}

/** Whether the model reads what to avoid. */
export const readsNegative = ({ guidanceScale }: GenerateForm, sampling?: Model['sampling']) =>
  !sampling ||
  sampling.guidance === 'classifier-free' ||
  (sampling.guidance === 'distilled' && guidanceScale !== null && guidanceScale > 1);

/** What is wrong with the form, by field; empty when it can start. */
export function formProblems(
  form: GenerateForm,
  sampling?: Model['sampling'],
): Partial<Record<keyof GenerateForm, string>> {
  const { clipSkips = 1 } = sampling ?? {};
  const problems: Partial<Record<keyof GenerateForm, string>> = onlyProblems<keyof GenerateForm>({
    count: wholeProblem(form.count, 1, 512),
    steps: wholeProblem(form.steps, 1, 1000),
    seed: wholeProblem(form.seed, 0, MAX_SEED),
    clipSkip: clipSkips > 1 ? wholeProblem(form.clipSkip, 1, clipSkips) : undefined,
    guidanceScale: numberProblem(form.guidanceScale, 0, 30),
    eta: numberProblem(form.eta, 0, 1),
    strength: form.start ? numberProblem(form.strength, 0, 1) : undefined,
  });
  if (form.start) {
    if (Math.floor((form.steps ?? 0) * (form.strength ?? 0)) === 0)
      problems.strength ??= 'No step is left: choose more strength, or more steps.';
    if (sampling?.startsFromPictures === false)
      problems.start = 'This model has no encoder: it starts from noise only.';
  }
  const multiple = sampling?.sizeMultiple ?? 1;
  for (const key of ['width', 'height'] as const) {
    const side = form[key];
    if (side !== null && !(side > 0 && side <= MAX_SIDE && side % multiple === 0))
      problems[key] = `A multiple of ${multiple}, at most ${MAX_SIDE}.`;
  }
  const lines = promptLines(form.prompts);
  if (lines.length > 1000) problems.prompts = `${lines.length} prompts; at most 1000 at once.`;
  const { used } = schedulersOf(form, sampling);
  if (!used) problems.scheduler = 'No scheduler of this model can do that.';
  if (used?.eta && form.eta === 0 && form.steering)
    problems.eta = 'Steering needs some noise in every step to choose from: set it above 0.';
  else if (used?.eta && form.eta === 0 && keeps(form))
    problems.eta = 'Tuning needs some noise in every step: above 0, or switch off “Keep what tuning needs”.';
  return problems;
}

const MAX_SIDE = 16_384;

/** The call that the form stands for, without its mask, or null while something in it is missing or wrong. */
export function generateInput(
  form: GenerateForm,
  modelId: string | null,
  adapterId: string | null,
  sampling?: Model['sampling'],
): Input<'generate.start'> | null {
  const prompts = promptLines(form.prompts);
  const { count, steps, guidanceScale, seed, eta } = form;
  const { used } = schedulersOf(form, sampling);
  if (!modelId || prompts.length === 0 || Object.keys(formProblems(form, sampling)).length > 0) return null;
  if (count === null || steps === null || guidanceScale === null || seed === null || eta === null || !used) return null;
  const { shareInitialNoise, start, strength, steering } = form;
  const size = sampling?.freeSize ? { width: form.width, height: form.height } : {};
  const clipSkip = (sampling?.clipSkips ?? 1) > 1 ? (form.clipSkip ?? 1) : 1;
  return {
    ...{ modelId, adapterId, prompts, count, steps, eta, guidanceScale, clipSkip, seed, shareInitialNoise, ...size },
    scheduler: used.value,
    negativePrompt: readsNegative(form, sampling) ? form.negativePrompt : '',
    keepTrajectories: keeps(form),
    ...(start && strength !== null ? { initImage: start.hash, strength } : {}),
    ...(steering ? { steering } : {}),
  };
}

export const previewKey = (p: { readonly jobId: string; readonly prompt: string; readonly index: number }) =>
  `${p.jobId}\n${p.index}\n${p.prompt}`;

/** Position in the job: prompts in the order typed, then picture by picture. */
const inOrder = (samples: readonly Sample[]) =>
  [...samples].sort((a, b) => a.index - b.index || a.createdAt.localeCompare(b.createdAt));

/** Shows one job's pictures, or the starred ones. */
export async function show(showing: { jobId: string } | 'starred'): Promise<void> {
  useGenerate.setState({ showing, samples: null, total: 0, error: null });
  await reload();
}

/** Reads what is shown again; used after a reconnection and when a job ends, because events may have been missed. */
export async function reload(): Promise<void> {
  const { showing } = useGenerate.getState();
  if (!showing) return;
  try {
    const page = await engine.call('samples.list', {
      ...(showing === 'starred' ? { starred: true } : { jobId: showing.jobId }),
      limit: 500,
    });
    // The person may have moved on while it was read.
    if (useGenerate.getState().showing !== showing) return;
    useGenerate.setState({
      samples: showing === 'starred' ? page.samples : inOrder(page.samples),
      total: page.total,
      error: null,
    });
  } catch (error) {
    useGenerate.setState({ error: toEngineError(error) });
  }
}

export async function star(sample: Sample): Promise<void> {
  const changed = await engine.call('samples.star', { id: sample.id, starred: !sample.starred });
  useGenerate.setState((s) => ({ samples: s.samples?.map((old) => (old.id === changed.id ? changed : old)) ?? null }));
}

engine.on('preview', (preview) => {
  useGenerate.setState((s) => ({ previews: { ...s.previews, [previewKey(preview)]: preview } }));
});

engine.on('sample', ({ jobId, sample }) => {
  useGenerate.setState((s) => {
    const { [previewKey({ ...sample, jobId })]: _finished, ...previews } = s.previews;
    if (s.showing === null || s.showing === 'starred' || s.showing.jobId !== jobId) return { previews };
    const known = s.samples ?? [];
    const isNew = !known.some((old) => old.id === sample.id);
    const samples = isNew ? inOrder([...known, sample]) : known.map((old) => (old.id === sample.id ? sample : old));
    return { previews, samples, total: s.total + (isNew ? 1 : 0) };
  });
});

engine.on('job', (job) => {
  if (job.kind !== 'generate' || job.state === 'running' || job.state === 'queued') return;
  // Nothing of a job that stopped is in the making any more.
  useGenerate.setState((s) => ({
    previews: Object.fromEntries(Object.entries(s.previews).filter(([, preview]) => preview.jobId !== job.id)),
  }));
  const { showing } = useGenerate.getState();
  if (showing !== null && showing !== 'starred' && showing.jobId === job.id) void reload();
});
