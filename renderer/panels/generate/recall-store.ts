import { create } from 'zustand';
import type { Recalled } from '#pipelines/engine/contract.ts';
import { choose, useNavigation } from '#renderer/state/navigation.ts';
import { readPicture } from '#renderer/state/read-picture.ts';
import { EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { edit, followModelId, type GenerateForm, startedFrom, useGenerate } from './generate-store.ts';
import { schedulerNamed } from './schedulers.ts';

interface RecallState {
  busy: boolean;
  error: EngineError | null;
  /** What the last picture said, until it is closed. */
  recalled: Recalled | null;
  /** The form as it was before, for undo. */
  before: { form: GenerateForm; modelId: string | null; adapterId: string | null } | null;
}

const nothing: RecallState = { busy: false, error: null, recalled: null, before: null };

export const useRecall = create<RecallState>(() => nothing);

/** Reads a picture file and fills the form with what it says. */
export async function recallPicture(file: Blob): Promise<void> {
  useRecall.setState({ ...nothing, busy: true });
  const { modelId } = useNavigation.getState();
  try {
    const found = await readPicture(file, modelId);
    if (found) takeRecalled(found);
    else throw noSettings();
  } catch (error) {
    useRecall.setState({ ...nothing, error: toEngineError(error) });
  }
}

/** Fills the form; what it cannot hold joins the notes. */
export function takeRecalled(found: Recalled): void {
  const { modelId, adapterId } = useNavigation.getState();
  const before = { form: useGenerate.getState().form, modelId, adapterId };
  const { scheduler, ...form } = found.form;
  const notes = [...found.notes];
  const offered = scheduler && schedulerNamed(scheduler);
  if (scheduler && !offered)
    notes.push(`The sampler “${scheduler}” is not offered in this form; the chosen one stays.`);
  followModelId(found.modelId ?? modelId);
  const change = Object.entries(form).filter(([, value]) => value !== undefined);
  edit({
    ...(Object.fromEntries(change) as Partial<GenerateForm>),
    ...(offered ? { scheduler: offered.value } : {}),
    ...startedFrom(found.start),
  });
  choose({ modelId: found.modelId ?? modelId, adapterId: found.adapterId });
  useRecall.setState({ ...nothing, recalled: { ...found, notes }, before });
}

export function undoRecall(): void {
  const { before } = useRecall.getState();
  if (!before) return;
  followModelId(before.modelId);
  edit(before.form);
  choose({ modelId: before.modelId, adapterId: before.adapterId });
  useRecall.setState(nothing);
}

export const closeRecall = () => useRecall.setState(nothing);

const noSettings = () =>
  new EngineError(
    'picture/no-settings',
    'This picture does not say how it was made.',
    'Many sites and chat programs drop it: use the file as the program wrote it.',
  );
