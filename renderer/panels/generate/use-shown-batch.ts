import { useEffect } from 'react';
import type { Job } from '#pipelines/engine/contract.ts';
import { useApp } from '#renderer/state/app.ts';

interface Shown {
  readonly showing: string | { readonly jobId: string } | null;
  /** What of it was read, or why not; null while it is being read for the first time. */
  readonly read: unknown;
  show(showing: { readonly jobId: string }): Promise<void>;
  reload(): Promise<void>;
}

/** The batches that make one kind of thing, and which is shown: the newest where none was chosen, read again after a reconnection. */
export function useShownBatch(makes: Job['makes'], { showing, read, show, reload }: Shown) {
  const jobs = useApp((s) => s.jobs);
  const phase = useApp((s) => s.connection.phase);
  const batches = (jobs ?? []).filter((job) => job.kind === 'generate' && job.makes === makes);
  const newest = batches[0]?.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the functions of a store stay the same
  useEffect(() => {
    if (showing === null && newest !== undefined) void show({ jobId: newest });
  }, [showing, newest]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for every connection
  useEffect(() => {
    if (phase === 'ready' && read !== null) void reload();
  }, [phase]);
  const jobId = showing !== null && typeof showing !== 'string' ? showing.jobId : null;
  return { batches, jobId, job: batches.find(({ id }) => id === jobId) };
}
