import { create } from 'zustand';
import type { EventPayload, GuidedStep, Output } from '#pipelines/engine/contract.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

export type Choices = Output<'generate.steering'>;
type Step = EventPayload<'steered'>;
/** What rewards can steer. */
export type Steered = 'pictures' | 'sequences';

/** What competed for one picture or sequence, step by step. */
export interface SteeredPicture extends Pick<Step, 'jobId' | 'reward' | 'prompt' | 'index' | 'total'> {
  readonly steps: readonly GuidedStep[];
}

interface SteerState {
  /** Null until they are read. */
  choices: Readonly<Record<Steered, Choices | null>>;
  error: EngineError | null;
  /** The picture that was steered last. */
  picture: SteeredPicture | null;
}

export const useSteer = create<SteerState>(() => ({
  choices: { pictures: null, sequences: null },
  error: null,
  picture: null,
}));

export async function loadChoices(of: Steered): Promise<void> {
  try {
    const found = await engine.call('generate.steering', { of });
    useSteer.setState(({ choices }) => ({ choices: { ...choices, [of]: found }, error: null }));
  } catch (error) {
    useSteer.setState({ error: toEngineError(error) });
  }
}

/** The picture with one more step; a step of another picture begins anew. */
export function withStep(picture: SteeredPicture | null, event: Step): SteeredPicture {
  const { jobId, reward, prompt, index, total, ...step } = event;
  const same = picture !== null && picture.jobId === jobId && picture.index === index;
  const earlier = same ? picture.steps.filter((old) => old.step < step.step) : [];
  return { jobId, reward, prompt, index, total, steps: [...earlier, step] };
}

engine.on('steered', (event) => useSteer.setState(({ picture }) => ({ picture: withStep(picture, event) })));
