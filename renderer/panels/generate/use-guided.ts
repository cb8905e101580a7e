import { useEffect, useState } from 'react';
import type { GuidedRecord } from '#pipelines/engine/contract.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

/** How a sample of a job came to be; null until it is known, and where nothing steered it. */
export function useGuided(jobId: string, index: number) {
  const [found, setFound] = useState<{ record: GuidedRecord | null; error: EngineError | null }>(NOTHING);
  useEffect(() => {
    let left = false;
    setFound(NOTHING);
    engine
      .call('generate.guided', { jobId, index })
      .then((record) => left || setFound({ record, error: null }))
      .catch((error: unknown) => left || setFound({ record: null, error: toEngineError(error) }));
    return () => {
      left = true;
    };
  }, [jobId, index]);
  return found;
}

const NOTHING = { record: null, error: null };
