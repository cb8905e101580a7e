import { create } from 'zustand';
import type { EventPayload, Input, Sample, SamplerName } from '#pipelines/engine/contract.ts';
import { addPrompt, promptLines, randomSeed } from '#renderer/logic/prompts.ts';
import { engine } from '#renderer/state/engine.ts';
import { recall, remember } from '#renderer/state/memory.ts';
import { choose } from '#renderer/state/navigation.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { schedulerNamed } from './schedulers.ts';

type Preview = EventPayload<'preview'>;

export interface GenerateForm {
  prompts: string;
  negativePrompt: string;
  count: number | null;
  steps: number | null;
  guidanceScale: number | null;
  seed: number | null;
  eta: number | null;
  scheduler: SamplerName;
  keepTrajectories: boolean;
  shareInitialNoise: boolean;
  /** The picture to start from; null: noise alone. */
  start: { readonly hash: string; readonly prompt: string } | null;
  strength: number | null;
}

interface GenerateState {
  form: GenerateForm;
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
  shareInitialNoise: false,
  start: null,
  strength: 0.6,
};

function rememberedForm(): GenerateForm {
  try {
    const saved: unknown = JSON.parse(recall('generate') ?? '{}');
    return typeof saved === 'object' && saved !== null ? { ...fresh, seed: randomSeed(), ...saved } : fresh;
  } catch {
    return fresh;
  }
}

export const useGenerate = create<GenerateState>(() => ({
  form: rememberedForm(),
  showing: null,
  samples: null,
  total: 0,
  previews: {},
  error: null,
}));

export function edit(change: Partial<GenerateForm>): void {
  useGenerate.setState((s) => ({ form: { ...s.form, ...change } }));
  // The next project may not have the picture to start from.
  remember('generate', JSON.stringify({ ...useGenerate.getState().form, start: null }));
}

/** Fills the form with what made a picture, and takes its model and adapter in hand. */
export function takeSettings(sample: Sample): void {
  const { prompt, negativePrompt, steps, scheduler, eta, guidanceScale, seed, modelId, adapterId } = sample;
  edit({
    ...{ prompts: prompt, negativePrompt, steps, eta, guidanceScale, seed },
    scheduler: schedulerNamed(scheduler)?.value ?? 'ddim',
  });
  choose({ modelId, adapterId });
}

/** Takes a picture to start from, with its prompt where there is none yet. */
export function startFrom({ hash, prompt }: Pick<Sample, 'hash' | 'prompt'>): void {
  const { prompts } = useGenerate.getState().form;
  edit({ start: { hash, prompt }, ...(promptLines(prompts).length === 0 ? { prompts: prompt } : {}) });
}

export const insertPrompt = (prompt: string) =>
  edit({ prompts: addPrompt(useGenerate.getState().form.prompts, prompt) });

/** What is wrong with the form, by field; empty when it can start. */
export function formProblems(form: GenerateForm): Partial<Record<keyof GenerateForm, string>> {
  const problems: Partial<Record<keyof GenerateForm, string>> = {};
  const whole = (key: 'count' | 'steps' | 'seed', min: number, max: number) => {
    const value = form[key];
    if (value === null || !Number.isInteger(value) || value < min || value > max)
      problems[key] = `A whole number, ${min} to ${max}.`;
  };
  const between = (key: 'guidanceScale' | 'eta' | 'strength', min: number, max: number) => {
    const value = form[key];
    if (value === null || !(value >= min && value <= max)) problems[key] = `A number, ${min} to ${max}.`;
  };
  whole('count', 1, 512);
  whole('steps', 1, 1000);
  whole('seed', 0, 2 ** 31 - 1);
  between('guidanceScale', 0, 30);
  between('eta', 0, 1);
  if (form.start) {
    between('strength', 0, 1);
    if (Math.floor((form.steps ?? 0) * (form.strength ?? 0)) === 0)
      problems.strength ??= 'No step is left: choose more strength, or more steps.';
  }
  const lines = promptLines(form.prompts);
  if (lines.length > 1000) problems.prompts = `${lines.length} prompts; at most 1000 at once.`;
  if (form.keepTrajectories && form.eta === 0)
    problems.eta = 'Tuning needs some noise in every step: above 0, or switch off “Keep what tuning needs”.';
  if (form.keepTrajectories && !schedulerNamed(form.scheduler)?.learnable)
    problems.scheduler = 'Tuning learns from DDIM or DDPM: choose one, or switch off “Keep what tuning needs”.';
  return problems;
}

/** The call that the form stands for, or null while something in it is missing or wrong. */
export function generateInput(
  form: GenerateForm,
  modelId: string | null,
  adapterId: string | null,
): Input<'generate.start'> | null {
  const prompts = promptLines(form.prompts);
  const { count, steps, guidanceScale, seed, eta } = form;
  if (!modelId || prompts.length === 0 || Object.keys(formProblems(form)).length > 0) return null;
  if (count === null || steps === null || guidanceScale === null || seed === null || eta === null) return null;
  const { negativePrompt, scheduler, keepTrajectories, shareInitialNoise, start, strength } = form;
  return {
    ...{ modelId, adapterId, prompts, negativePrompt, count, steps, scheduler, eta, guidanceScale, seed },
    ...{ keepTrajectories, shareInitialNoise },
    ...(start && strength !== null ? { initImage: start.hash, strength } : {}),
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
