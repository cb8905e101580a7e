import { useEffect, useState } from 'react';
import type { Input, Job, ValueView } from '#pipelines/engine/contract.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import type { BankOf } from './use-bank.ts';

const PAUSE_MS = 200;

/** Value networks for a form and a reward, read a moment after the last change and when the job that trains one ends. */
export function useValues(
  of: BankOf | null,
  reward: string,
): {
  readonly view: ValueView | null;
  /** The unfinished job that trains one. */
  readonly job: Job | null;
  readonly error: EngineError | null;
  train(): Promise<void>;
} {
  const [view, setView] = useState<ValueView | null>(null);
  const [error, setError] = useState<EngineError | null>(null);
  const job = useApp((s) => s.jobs?.find(({ id }) => id === view?.jobId)) ?? null;
  const key = of && reward !== '' ? JSON.stringify({ of, reward }) : null;
  const state = job?.state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: which networks there are changes with the state of the job
  useEffect(() => {
    if (key === null) return setView(null);
    let left = false;
    const timer = setTimeout(() => {
      engine
        .call('values.show', JSON.parse(key) as Input<'values.show'>)
        .then((found) => {
          if (left) return;
          setView(found);
          setError(null);
        })
        .catch((thrown: unknown) => left || setError(toEngineError(thrown)));
    }, PAUSE_MS);
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [key, state]);
  const train = async () => {
    if (of === null) return;
    const made = await engine.call('values.train', { of, reward });
    takeJob(made);
    setView((before) => before && { ...before, jobId: made.id });
  };
  return { view, job, error, train };
}
