import type { Job } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { takeJob } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** How far the job of a batch is, why it stopped, and how it goes on. */
export function BatchStatus({ job }: { job: Job }) {
  const action = useAction();
  const { id, title, state, stage, done, total, etaSeconds, error } = job;
  const unfinished = state === 'running' || state === 'queued' || state === 'paused';
  const stopped = state === 'paused' || state === 'failed' || state === 'set-aside';
  const resume = () => action.run(async () => takeJob(await engine.call('jobs.resume', { id })));
  return (
    <>
      {unfinished && (
        <Progress
          label={title}
          done={done}
          total={total}
          stage={state === 'queued' ? 'waits for its turn' : stage}
          etaSeconds={state === 'running' ? etaSeconds : null}
          moving={state === 'running'}
          testId="generate-progress"
        />
      )}
      {error && <ErrorNote error={error} />}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {stopped && (
        <div className="row">
          <Button busy={action.busy} onClick={() => void resume()} data-testid="generate-resume">
            Resume
          </Button>
        </div>
      )}
    </>
  );
}
