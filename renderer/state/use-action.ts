import { useCallback, useState } from 'react';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

/** Runs something that may fail: `busy` while it runs, `error` after it failed, and nothing started twice. */
export function useAction(): {
  busy: boolean;
  error: EngineError | null;
  run: (work: () => Promise<void>) => Promise<void>;
  clear: () => void;
} {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<EngineError | null>(null);
  const run = useCallback(async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (thrown) {
      setError(toEngineError(thrown));
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, error, run, clear: () => setError(null) };
}
