import { useEffect, useState } from 'react';
import type { BankView, Input, Job } from '#pipelines/engine/contract.ts';
import type { Followed } from '#renderer/logic/steering.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

export type BankOf = Input<'banks.show'>['of'];

const PAUSE_MS = 200;

/** What plain samples say of rewards, read a moment after the last change and when the job that makes them ends. */
export function useBank(
  of: BankOf | null,
  { rewards, combine, cap }: Followed,
  alpha: number | null,
): {
  readonly view: BankView | null;
  /** The unfinished job that makes the bank. */
  readonly job: Job | null;
  readonly error: EngineError | null;
  make(count: number): Promise<void>;
} {
  const [view, setView] = useState<BankView | null>(null);
  const [error, setError] = useState<EngineError | null>(null);
  const job = useApp((s) => s.jobs?.find(({ id }) => id === view?.jobId)) ?? null;
  const key = of && JSON.stringify({ of, rewards, combine, cap, alpha });
  // Whatever ends may have made what was missing.
  const ended = useApp((s) => s.jobs?.filter(({ state }) => state !== 'running' && state !== 'queued').length);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what the bank says changes when a job ends
  useEffect(() => {
    if (key === null) return setView(null);
    let left = false;
    const timer = setTimeout(() => {
      engine
        .call('banks.show', JSON.parse(key) as Input<'banks.show'>)
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
  }, [key, ended]);
  const make = async (count: number) => {
    if (of === null) return;
    const made = await engine.call('banks.make', { of, rewards, count });
    takeJob(made);
    setView((before) => before && { ...before, jobId: made.id });
  };
  return { view, job, error, make };
}

/** The plain pictures of a form: neither its seed nor how many it asks for change what they are. */
export function picturesOf(input: Input<'generate.start'> | null): BankOf | null {
  if (input === null) return null;
  const { seed: _, count: __, steering: ___, keepTrajectories: ____, shareInitialNoise: _____, ...rest } = input;
  return { makes: 'pictures', ...rest };
}

/** The same of sequences. */
export function sequencesOf(input: Input<'sequences.start'> | null): BankOf | null {
  if (input === null) return null;
  const { seed: _, count: __, steering: ___, ...rest } = input;
  return { makes: 'sequences', ...rest };
}
