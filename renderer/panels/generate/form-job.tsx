import type { Job } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { takeJob } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import type { useAction } from '#renderer/state/use-action.ts';

/** An unfinished job that belongs to the form: how far it is, and buttons to go on or to stop. */
export function FormJob({
  job,
  action,
  kept,
  testId,
}: {
  readonly job: Job;
  readonly action: ReturnType<typeof useAction>;
  /** What stopping leaves, as a sentence. */
  readonly kept: string;
  /** Prefix of test ids. */
  readonly testId: string;
}) {
  return (
    <>
      <Progress
        label={job.title}
        done={job.done}
        total={job.total}
        stage={job.state === 'queued' ? 'waits for its turn' : job.stage}
        etaSeconds={job.state === 'running' ? job.etaSeconds : null}
        moving={job.state === 'running'}
        testId={`${testId}-progress`}
      />
      <div className="row">
        {job.state === 'paused' && (
          <Button
            size="small"
            busy={action.busy}
            onClick={() => void action.run(async () => takeJob(await engine.call('jobs.resume', { id: job.id })))}
          >
            Resume
          </Button>
        )}
        <Button
          size="small"
          busy={action.busy}
          title={kept}
          data-testid={`${testId}-cancel`}
          onClick={() => void action.run(async () => takeJob(await engine.call('jobs.cancel', { id: job.id })))}
        >
          Stop
        </Button>
      </div>
    </>
  );
}
