import { useEffect, useState } from 'react';
import type { GenerateEstimate, Input } from '#pipelines/engine/contract.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

const PAUSE_MS = 200;

/** What steering would take, a moment after the last change; null until it is known and where nothing steers. */
export function useEstimate(input: Pick<Input<'generate.start'>, 'prompts' | 'count' | 'steps' | 'steering'> | null): {
  readonly estimate: GenerateEstimate | null;
  readonly error: EngineError | null;
} {
  const [found, setFound] = useState<{ estimate: GenerateEstimate | null; error: EngineError | null }>(NOTHING);
  const key = input?.steering
    ? JSON.stringify({ prompts: input.prompts, count: input.count, steps: input.steps, steering: input.steering })
    : null;
  useEffect(() => {
    if (key === null) return setFound(NOTHING);
    let left = false;
    const timer = setTimeout(() => {
      engine
        .call('generate.estimate', JSON.parse(key) as Input<'generate.estimate'>)
        .then((estimate) => left || setFound({ estimate, error: null }))
        .catch((error: unknown) => left || setFound({ estimate: null, error: toEngineError(error) }));
    }, PAUSE_MS);
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [key]);
  return found;
}

const NOTHING = { estimate: null, error: null };
