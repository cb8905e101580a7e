import { useEffect } from 'react';
import { engine } from '#renderer/state/engine.ts';

/** Long enough not to ask at every key. */
const PAUSE_MS = 300;

/**
 * Has the model opened before the first picture is asked for, and kept open while somebody works on the prompts. It is a help,
 * not a need: what is wrong with a model is said when it is used.
 */
export function useWarmModel(
  modelId: string | null,
  adapterId: string | null,
  clipSkip: number,
  prompts: string,
): void {
  // biome-ignore lint/correctness/useExhaustiveDependencies: each change of the prompts asks again.
  useEffect(() => {
    if (modelId === null) return;
    const timer = setTimeout(() => {
      engine.call('generate.warm', { modelId, adapterId, clipSkip }).catch(() => {});
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [modelId, adapterId, clipSkip, prompts]);
}
