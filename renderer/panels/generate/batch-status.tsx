import type { Job } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { takeJob } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** How far the job of a batch is, why it stopped, and how it is stopped or goes on. */
export function BatchStatus({ job }: { job: Job }) {
  const action = useAction();
  const { id, title, state, stage, done, total, etaSeconds, error } = job;
  const unfinished = state === 'running' || state === 'queued' || state === 'paused';
  const stopped = state === 'paused' || state === 'failed' || state === 'set-aside';
  const ask = (call: 'jobs.resume' | 'jobs.cancel') =>
    void action.run(async () => takeJob(await engine.call(call, { id })));
  useShortcuts([
    {
      keys: ['Shift+X'],
      does: 'Stop, and keep what is finished',
      group: 'Generate',
      run: () => unfinished && ask('jobs.cancel'),
    },
  ]);
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
      {state === 'cancelled' && (
        <p className="small quiet" data-testid="generate-cancelled">
          Stopped. What was finished before is kept.
        </p>
      )}
      {(stopped || unfinished) && (
        <div className="row">
          {stopped && (
            <Button busy={action.busy} onClick={() => ask('jobs.resume')} data-testid="generate-resume">
              Resume
            </Button>
          )}
          {unfinished && (
            <Button
              size="small"
              shortcut="Shift+X"
              busy={action.busy}
              title="What is finished is kept"
              onClick={() => ask('jobs.cancel')}
              data-testid="generate-stop"
            >
              Stop
            </Button>
          )}
        </div>
      )}
    </>
  );
}
