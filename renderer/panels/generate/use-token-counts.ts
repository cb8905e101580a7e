import { useEffect, useState } from 'react';
import type { TokenCount } from '#pipelines/engine/contract.ts';
import { engine } from '#renderer/state/engine.ts';

/** Long enough not to ask at every key, short enough to feel live. */
const PAUSE_MS = 200;

/** How much of each prompt the model reads, a moment after the last key; empty until it is known. */
export function useTokenCounts(modelId: string | null, prompts: readonly string[]): readonly (TokenCount | null)[] {
  const [counts, setCounts] = useState<readonly (TokenCount | null)[]>([]);
  const key = prompts.join('\n');
  useEffect(() => {
    let left = false;
    const asked = key === '' ? [] : key.split('\n');
    const timer = setTimeout(() => {
      if (modelId === null || asked.length === 0) return setCounts([]);
      // The count is a help, not a need: a model that cannot say is left without one.
      engine
        .call('models.tokens', { modelId, prompts: asked })
        .then((found) => left || setCounts(found))
        .catch(() => left || setCounts([]));
    }, PAUSE_MS);
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [modelId, key]);
  return counts;
}
