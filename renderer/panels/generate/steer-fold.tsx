import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { SteerView } from './steer-view.tsx';
import { useGuided } from './use-guided.ts';

/** How a picture came to be, where a reward steered it; else nothing. */
export function SteerFold({ jobId, index }: { jobId: string; index: number }) {
  const { record, error } = useGuided(jobId, index);
  if (error) return <ErrorNote error={error} />;
  if (!record) return null;
  return (
    <Fold title="How it came to be" testId="steer-fold">
      <SteerView record={record} />
    </Fold>
  );
}
